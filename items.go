package mezu

// Limits of lists that have no limit of their own elsewhere.
const (
	// MaxPermissions bounds a list of permissions. It is twice as many as there are.
	MaxPermissions = 100
	// MaxManifestRoutes bounds the routes of all environments of a manifest: those of
	// an environment at its limit, and as many again for the others.
	MaxManifestRoutes = 2 * MaxRoutes
)

// The methods MaxItems implement strictjson.Bounded: how many entries a reader accepts in a
// list or mapping of the entity, by the field's JSON name. So a list over its limit is
// refused before it takes memory. Zero means that the field is no list.

// MaxItems bounds the lists of a route.
func (Route) MaxItems(field string) int {
	switch field {
	case "methods":
		return MaxRouteMethods
	case "headers":
		return MaxRouteHeaders
	case "auth_methods":
		return MaxRouteAuth
	case "roles", "permissions", "any_permissions":
		return MaxRolePermissions
	case "allow_ips", "deny_ips":
		return MaxRouteIPs
	}
	return 0
}

// MaxItems bounds the lists of a policy.
func (CORS) MaxItems(string) int { return MaxRouteEdits }

// MaxItems bounds the lists of a directory.
func (Directory) MaxItems(field string) int {
	if field == "require" {
		return maxRequired
	}
	return MaxDirectoryDomains
}

// MaxItems bounds the lists of a directory.
func (ManifestDirectory) MaxItems(field string) int { return Directory{}.MaxItems(field) }

// MaxItems bounds the edits.
func (HeaderEdits) MaxItems(string) int { return MaxRouteEdits }

// MaxItems bounds what a manifest names.
func (Manifest) MaxItems(field string) int {
	switch field {
	case "roles":
		return MaxRoles
	case "directories", "environments":
		return MaxManifestEnvironments
	}
	return 0
}

// MaxItems bounds the routes and the address rules.
func (ManifestEnvironment) MaxItems(field string) int {
	if field == "routes" {
		return MaxRoutes
	}
	return MaxRouteIPs
}

// MaxItems bounds the address rules.
func (Environment) MaxItems(string) int { return MaxRouteIPs }

// MaxItems bounds the addresses that it spares.
func (Maintenance) MaxItems(string) int { return MaxRouteIPs }

// MaxItems bounds the exclusions.
func (WAFSettings) MaxItems(string) int { return MaxWAFExclusions }

// MaxItems bounds the roles.
func (Project) MaxItems(string) int { return MaxRoles }

// MaxItems bounds the permissions.
func (ProjectRole) MaxItems(string) int { return MaxRolePermissions }

// MaxItems bounds the permissions.
func (ServiceAccount) MaxItems(string) int { return MaxPermissions }

// MaxItems bounds the permissions.
func (Token) MaxItems(string) int { return MaxPermissions }

// MaxItems bounds the roles, those of the caller's own projects included.
func (User) MaxItems(string) int { return MaxUserRoles }
