package mezu

import (
	"context"
	"maps"
	"slices"
	"strconv"
)

// Manifest is what mezu.yaml says: the wanted state of one project. An apply makes
// everything that it names exactly as it says: a setting that is left out gets its default,
// and an environment without routes has none. What the manifest doesn't name is left alone,
// or removed by an apply that prunes.
type Manifest struct {
	// Organization is the name of the one that the manifest is for; if empty, that of the project
	// that it is applied to.
	Organization string `json:"organization,omitempty"`
	// Project is the name of the one that the manifest is for; if empty, the one that it is
	// applied to.
	Project string `json:"project,omitempty"`
	// Directories are those of the project by name.
	Directories map[string]ManifestDirectory `json:"directories,omitempty"`
	// Environments are by name, at most MaxManifestEnvironments.
	Environments map[string]ManifestEnvironment `json:"environments,omitempty"`
	// Roles are what users of the project can be granted, by name, at most MaxRoles.
	Roles map[string]ProjectRole `json:"roles,omitempty"`
}

// ManifestEnvironment is what a manifest says of an environment, with the fields of
// Environment that a client sets.
type ManifestEnvironment struct {
	// Enabled is the on/off switch. If nil, the switch stays as it is, so that an
	// apply does not turn an environment on again that somebody switched off. A new
	// environment is on.
	Enabled *bool `json:"enabled,omitempty"`
	// Directory names the pool of users who may log in.
	Directory string `json:"directory,omitempty"`
	// WAF is the default mode of the environment's routes; if empty, WAFOff.
	WAF WAFMode `json:"waf,omitempty"`
	// WAFSettings are those of routes that have none.
	WAFSettings *WAFSettings `json:"waf_settings,omitempty"`
	// AllowIPs are the ranges of client addresses that may use the environment, at most
	// MaxRouteIPs; if empty, all may.
	AllowIPs []string `json:"allow_ips,omitempty"`
	// DenyIPs are ranges of client addresses that may not, at most MaxRouteIPs.
	DenyIPs []string `json:"deny_ips,omitempty"`
	// Maintenance closes the environment to visitors; if nil, it is open.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
	// Routes are all that the environment is to have, at most MaxRoutes.
	Routes []Route `json:"routes,omitempty"`
	// Webhooks are by name, at most MaxWebhooks. Their secrets are set by a call of their own.
	Webhooks map[string]ManifestWebhook `json:"webhooks,omitempty"`
}

// ManifestWebhook is what a manifest says of a webhook, with the fields of Webhook that a client
// sets.
type ManifestWebhook struct {
	// Provider says who signs, and with that how.
	Provider WebhookProvider `json:"provider"`
	// Tolerance is how far the time of a delivery may be from the edge's; if zero,
	// DefaultWebhookTolerance.
	Tolerance Duration `json:"tolerance,omitempty"`
	// HMAC says how a provider signs that is none of the known ones.
	HMAC *WebhookHMAC `json:"hmac,omitempty"`
}

// ManifestDirectory is what a manifest says of a directory of the project, with the
// fields of Directory that a client sets.
type ManifestDirectory struct {
	// Signup says who may make an account; if empty, SignupInvite.
	Signup SignupMode `json:"signup,omitempty"`
	// Domains are the mail domains whose addresses may sign up; if empty, all may.
	Domains []string `json:"domains,omitempty"`
	// MFA says whether a second factor is asked for; if empty, MFAOptional.
	MFA MFAMode `json:"mfa,omitempty"`
	// Password is what is asked of passwords.
	Password PasswordPolicy `json:"password,omitzero"`
	// Require lists what users must say of themselves, beside their mail address.
	Require []ProfileField `json:"require,omitempty"`
	// Terms are what users accept.
	Terms Terms `json:"terms,omitzero"`
	// Session is how long a login lasts.
	Session SessionPolicy `json:"session,omitzero"`
	// Brand is how pages and mails look.
	Brand ManifestBrand `json:"brand,omitzero"`
}

// MaxManifestLogos bounds the images that one manifest can have. It is more than one
// transaction can change, and each takes some time to encode.
const MaxManifestLogos = 32

// MaxManifestEnvironments bounds a manifest. It is more than one transaction can change, so
// a manifest with more is refused without looking at each.
const MaxManifestEnvironments = 1000

// Validate checks a manifest by itself. Its errors name the field by its path, such
// as environments.production.routes[2].prefix.
func (m *Manifest) Validate(ctx context.Context) error {
	_, err := m.Judge(ctx)
	return err
}

// Judge is Validate, and gives warnings about its directories and about all routes, as Warnings
// does for one environment, each with the environment's name. It goes through one environment
// after the other, so that it needs the memory of one only.
func (m *Manifest) Judge(ctx context.Context) (warnings []string, err error) {
	if err := m.validateHead(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Directories)) {
		d := m.Directories[name].Directory(name)
		warnings = append(warnings, d.Warnings()...)
	}
	routes := 0
	for _, name := range slices.Sorted(maps.Keys(m.Environments)) {
		e := m.Environments[name]
		if routes += len(e.Routes); routes > MaxManifestRoutes {
			return nil, &Error{Code: CodeInvalid, Field: "environments." + name + ".routes", Detail: "all environments of a manifest have at most " + strconv.Itoa(MaxManifestRoutes) + " routes together",
				Hint: "apply the environments in two manifests"}
		}
		env := e.Environment(name)
		if err := entry("environments", name, env.Validate()); err != nil {
			return nil, err
		}
		if err := Below("environments."+name, e.validateWebhooks()); err != nil {
			return nil, err
		}
		remarks, err := JudgeRoutes(ctx, "routes", e.Routes)
		if err != nil {
			return nil, Below("environments."+name, err)
		}
		for _, w := range remarks {
			if len(warnings) > MaxWarnings {
				break
			}
			warnings = append(warnings, "environment "+name+": "+w)
		}
	}
	return boundWarnings(warnings), nil
}

// validateHead checks all but the environments.
func (m *Manifest) validateHead() error {
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
	logos := 0
	for _, name := range slices.Sorted(maps.Keys(m.Directories)) {
		d, brand := m.Directories[name].Directory(name), m.Directories[name].Brand
		err := d.Validate()
		if err == nil {
			err = brand.validateLogo("brand.logo")
		}
		if err := entry("directories", name, err); err != nil {
			return err
		}
		if _, known := brand.LogoDigest(); !known && brand.Logo != "" {
			logos++
		}
	}
	if logos > MaxManifestLogos {
		return &Error{Code: CodeInvalid, Field: "directories", Detail: "a manifest has at most " + strconv.Itoa(MaxManifestLogos) + " logos", Hint: "apply the directories in two manifests"}
	}
	if n := len(m.Environments); n > MaxManifestEnvironments {
		return Invalid("environments", "at most %d, not %d", MaxManifestEnvironments, n)
	}
	return nil
}

// entry says in an error which entry of a map it is about. If the error is about the name,
// which is the key, it is about the entry itself.
func entry(field, name string, err error) error {
	if err == nil {
		return nil
	}
	if ValidateName("", name) != nil {
		return ValidateName(field+"."+name, name)
	}
	return Below(field+"."+name, err)
}

// Environment is the entity that the entry with this name describes.
func (e ManifestEnvironment) Environment(name string) Environment {
	return Environment{Name: name, Enabled: e.Enabled, Directory: e.Directory, WAF: e.WAF, WAFSettings: e.WAFSettings, AllowIPs: e.AllowIPs, DenyIPs: e.DenyIPs, Maintenance: e.Maintenance}
}

// Manifest is what a manifest says of an environment that is like this one, without its routes.
func (e *Environment) Manifest() ManifestEnvironment {
	on := e.IsEnabled()
	return ManifestEnvironment{Enabled: &on, Directory: e.Directory, WAF: e.WAF, WAFSettings: e.WAFSettings, AllowIPs: e.AllowIPs, DenyIPs: e.DenyIPs, Maintenance: e.Maintenance}
}

// validateWebhooks checks the webhooks by themselves.
func (e ManifestEnvironment) validateWebhooks() error {
	if n := len(e.Webhooks); n > MaxWebhooks {
		return Invalid("webhooks", "at most %d, not %d", MaxWebhooks, n)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Webhooks)) {
		w := e.Webhooks[name].Webhook(name)
		if err := entry("webhooks", name, w.Validate()); err != nil {
			return err
		}
	}
	return nil
}

// Webhook is the entity that the entry with this name describes.
func (w ManifestWebhook) Webhook(name string) Webhook {
	return Webhook{Name: name, Provider: w.Provider, Tolerance: w.Tolerance, HMAC: w.HMAC}
}

// Manifest is what a manifest says of a webhook that is like this one.
func (w *Webhook) Manifest() ManifestWebhook {
	return ManifestWebhook{Provider: w.Provider, Tolerance: w.Tolerance, HMAC: w.HMAC}
}

// Directory is the entity that the entry with this name describes.
func (d ManifestDirectory) Directory(name string) Directory {
	return Directory{Name: name, Signup: d.Signup, Domains: d.Domains, MFA: d.MFA, Password: d.Password, Require: d.Require, Terms: d.Terms, Session: d.Session,
		Brand: d.Brand.brand()}
}

// Manifest is what a manifest says of a directory that is like this one.
func (d *Directory) Manifest() ManifestDirectory {
	return ManifestDirectory{Signup: d.Signup, Domains: d.Domains, MFA: d.MFA, Password: d.Password, Require: d.Require, Terms: d.Terms, Session: d.Session,
		Brand: d.Brand.Manifest()}
}

// Complete writes out what a client may leave out and JSON would show as null.
func (m *Manifest) Complete() {
	for name, r := range m.Roles {
		if r.Permissions == nil {
			m.Roles[name] = ProjectRole{Permissions: []string{}}
		}
	}
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
