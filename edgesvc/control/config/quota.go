package config

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/record"
)

// Quotas of configuration, each far above what a tenant of a believable size has.
var (
	// A page of projects or accounts has as many at most, so that one call shows all.
	quotaProjects = record.Quota{Name: "projects", Owner: "the organization", Fallback: 1000, Max: record.AnyNumber}
	quotaAccounts = record.Quota{Name: "service_accounts", Owner: "the project", Fallback: 1000, Max: record.AnyNumber}
	// A manifest names as many at most.
	quotaEnvironments = record.Quota{Name: "environments", Owner: "the project", Fallback: mezu.MaxManifestEnvironments, Max: record.AnyNumber}
	// All of them are one document, which has this bound itself.
	quotaRoutes = record.Quota{Name: "routes", Owner: "the environment", Fallback: mezu.MaxRoutes, Max: mezu.MaxRoutes}
	// All of them are one record.
	quotaWebhooks = record.Quota{Name: "webhooks", Owner: "the environment", Fallback: mezu.MaxWebhooks, Max: mezu.MaxWebhooks}
)

// Quotas are those of projects and what lies in them.
func Quotas() []record.Quota {
	return []record.Quota{quotaProjects, quotaEnvironments, quotaRoutes, quotaWebhooks, quotaAccounts}
}
