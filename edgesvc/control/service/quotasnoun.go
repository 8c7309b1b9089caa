package service

import "github.com/mezusphere/mezu"

// Quotas of configuration, each far above what a tenant of a believable size has.
var (
	// A page of projects or accounts has as many at most, so that one call shows all.
	quotaProjects = quota{name: "projects", owner: "the organization", fallback: 1000, max: anyNumber}
	quotaAccounts = quota{name: "service_accounts", owner: "the project", fallback: 1000, max: anyNumber}
	// A manifest names as many at most.
	quotaEnvironments = quota{name: "environments", owner: "the project", fallback: mezu.MaxManifestEnvironments, max: anyNumber}
	// All of them are one document, which has this bound itself.
	quotaRoutes = quota{name: "routes", owner: "the environment", fallback: mezu.MaxRoutes, max: mezu.MaxRoutes}
)

// configurationQuotas are those of projects and what lies in them.
func configurationQuotas() []quota {
	return []quota{quotaProjects, quotaEnvironments, quotaRoutes, quotaAccounts}
}
