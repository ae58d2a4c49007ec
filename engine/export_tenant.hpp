// A whole tenant as one manifest: its budget and policy, and everything in it.
#pragma once

#include "base/result.hpp"
#include "engine/export_manifest.hpp"
#include "engine/guests.hpp"
#include "tenants/record.hpp"

namespace vrun::engine {

// The Tenant alone; pure. Applied, it makes a tenant with the same budget, policy and admins.
std::string tenant_text(const tenants::Tenant& tenant);

// With its networks, named volumes, secrets, configs, guests and CronJobs. What secrets and configs
// hold belongs into no such file: each names the files, from where vrun is called, that it is read
// from. What lies in volumes and writable layers is not in it either (`vrun guest export`).
Result<ExportedManifest> export_tenant(const Guests& guests, const tenants::Tenant& tenant);

}  // namespace vrun::engine
