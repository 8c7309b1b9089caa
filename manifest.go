package mezu

import (
	"maps"
	"slices"
	"strconv"
)

// Manifest is what mezu.yaml says: the wanted state of one project. What it names is
// to be as it says: a setting that is left out has its default, routes that are left
// out are none. What it doesn't name is left alone, or removed by an apply that
// prunes.
type Manifest struct {
	// Organization and Project are names. If empty, they come from where the
	// manifest is applied; if not, they must be the same.
	Organization string                         `json:"organization,omitempty"`
	Project      string                         `json:"project,omitempty"`
	Directories  map[string]ManifestDirectory   `json:"directories,omitempty"`
	Environments map[string]ManifestEnvironment `json:"environments,omitempty"`
	Roles        map[string]ProjectRole         `json:"roles,omitempty"`
}

// ManifestEnvironment is what a manifest says of an environment, with the fields of
// Environment that a client sets.
type ManifestEnvironment struct {
	// Enabled is the on/off switch. If nil, the switch stays as it is, so that an
	// apply does not put back on what somebody switched off; a new environment is
	// on.
	Enabled *bool `json:"enabled,omitempty"`
	// Directory names the pool of users who may log in.
	Directory string  `json:"directory,omitempty"`
	WAF       WAFMode `json:"waf,omitempty"`
	Routes    []Route `json:"routes,omitempty"`
}

// ManifestDirectory is what a manifest says of a directory of the project, with the
// fields of Directory that a client sets.
type ManifestDirectory struct {
	Signup   SignupMode     `json:"signup,omitempty"`
	MFA      MFAMode        `json:"mfa,omitempty"`
	Password PasswordPolicy `json:"password,omitzero"`
}

// MaxManifestEnvironments bounds a manifest. One transaction can't change so many:
// more are refused without looking at each.
const MaxManifestEnvironments = 1000

// Validate checks a manifest by itself. Its errors name the field by its path, such
// as environments.production.routes[2].prefix.
func (m *Manifest) Validate() error {
	for _, n := range []struct{ field, name string }{{"organization", m.Organization}, {"project", m.Project}} {
		if n.name != "" {
			if err := ValidateName(n.field, n.name); err != nil {
				return err
			}
		}
	}
	if err := ValidateRoles("roles", m.Roles); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Directories)) {
		d := m.Directories[name].Directory(name)
		if err := entry("directories", name, d.Validate()); err != nil {
			return err
		}
	}
	if n := len(m.Environments); n > MaxManifestEnvironments {
		return Invalid("environments", "at most %d, not %d", MaxManifestEnvironments, n)
	}
	routes := 0
	for _, name := range slices.Sorted(maps.Keys(m.Environments)) {
		e := m.Environments[name]
		if routes += len(e.Routes); routes > MaxManifestRoutes {
			return &Error{Code: CodeInvalid, Field: "environments." + name + ".routes", Detail: "all environments of a manifest have at most " + strconv.Itoa(MaxManifestRoutes) + " routes together",
				Hint: "apply the environments in two manifests"}
		}
		env := e.Environment(name)
		if err := entry("environments", name, env.Validate()); err != nil {
			return err
		}
		if err := Below("environments."+name, ValidateRoutes("routes", e.Routes)); err != nil {
			return err
		}
	}
	return nil
}

// entry puts an error below an entry of a map; one about the name is about the key.
func entry(field, name string, err error) error {
	if err == nil {
		return nil
	}
	if ValidateName("", name) != nil {
		return ValidateName(field+"."+name, name)
	}
	return Below(field+"."+name, err)
}

// Environment is the entity that the entry of this name asks for.
func (e ManifestEnvironment) Environment(name string) Environment {
	return Environment{Name: name, Enabled: e.Enabled, Directory: e.Directory, WAF: e.WAF}
}

// Directory is the entity that the entry of this name asks for.
func (d ManifestDirectory) Directory(name string) Directory {
	return Directory{Name: name, Signup: d.Signup, MFA: d.MFA, Password: d.Password}
}

// Complete writes out what a client may leave out and JSON would show as null.
func (m *Manifest) Complete() {
	for name, r := range m.Roles {
		if r.Permissions == nil {
			m.Roles[name] = ProjectRole{Permissions: []string{}}
		}
	}
}

// Warnings are remarks about all routes of the manifest, as Warnings has them for one
// environment, each with the environment's name.
func (m *Manifest) Warnings() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(m.Environments)) {
		env := m.Environments[name].Environment(name)
		for _, w := range slices.Concat(env.Warnings(), Warnings(m.Environments[name].Routes)) {
			if len(out) == MaxWarnings {
				return append(out, "there are more remarks than these")
			}
			out = append(out, "environment "+name+": "+w)
		}
	}
	return out
}

// Upstreams are the upstreams that routes of an environment name, each once.
func (e ManifestEnvironment) Upstreams() []string {
	var out []string
	for i := range e.Routes {
		if u := e.Routes[i].Upstream; u != "" {
			out = append(out, u)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
