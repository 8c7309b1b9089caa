package api

import "github.com/mezusphere/mezu"

// What a reader lets the lists of a body have (strictjson.Bounded).

// MaxItems bounds the routes.
func (RoutesReplace) MaxItems(string) int { return mezu.MaxRoutes }

// MaxItems bounds what a report speaks of.
func (EdgeReport) MaxItems(string) int { return MaxReportPresence }

// MaxItems bounds what an edge hands up.
func (EdgeRevocations) MaxItems(string) int { return MaxEdgeRevocations }

// MaxPublicHosts bounds the names of one public certificate.
const MaxPublicHosts = 100

// MaxItems bounds the names.
func (PublicCertificateRequest) MaxItems(string) int { return MaxPublicHosts }
