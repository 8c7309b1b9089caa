package api

import "github.com/mezusphere/mezu"

// The methods MaxItems implement strictjson.Bounded for the lists of bodies.

// MaxItems bounds the routes.
func (RoutesReplace) MaxItems(string) int { return mezu.MaxRoutes }

// MaxItems bounds the presences of a report.
func (EdgeReport) MaxItems(string) int { return MaxReportPresence }

// MaxItems bounds the revocations that an edge sends up.
func (EdgeRevocations) MaxItems(string) int { return MaxEdgeRevocations }

// MaxPublicHosts bounds the names of one public certificate.
const MaxPublicHosts = 100

// MaxItems bounds the names.
func (PublicCertificateRequest) MaxItems(string) int { return MaxPublicHosts }

// MaxItems bounds the cookies of a visitor.
func (EdgePageRequest) MaxItems(string) int { return MaxPageCookies }

// MaxItems bounds the sessions that one call ends.
func (EdgeLogouts) MaxItems(string) int { return MaxEdgeLogouts }
