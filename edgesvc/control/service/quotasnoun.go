package service

import "github.com/mezusphere/mezu"

// Quotas of configuration, each far above what a tenant of a believable size has.
var (
	// A page of projects or accounts has as many at most, so that one call shows all.
	quotaProjects = quota{"projects", "the organization", 1000, anyNumber}
	quotaAccounts = quota{"service_accounts", "the project", 1000, anyNumber}
	// A manifest names as many at most.
	quotaEnvironments = quota{"environments", "the project", mezu.MaxManifestEnvironments, anyNumber}
	// All of them are one document, which has this bound itself.
	quotaRoutes = quota{"routes", "the environment", mezu.MaxRoutes, mezu.MaxRoutes}
)
