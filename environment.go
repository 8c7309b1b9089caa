package mezu

import (
	"crypto/sha256"
	"strings"
)

// Environment is a named deployment target of a project with its own endpoint,
// routes, tunnels, auth settings and on/off switch.
type Environment struct {
	Meta
	// Name is unique in the project: lower-case letters, digits and hyphens. It is fixed at
	// creation.
	Name string `json:"name"`
	// Organization is the name of the one that it is in.
	Organization string `json:"organization,omitempty"`
	// Project is the name of the one that it is in.
	Project string `json:"project,omitempty"`
	// Endpoint is the environment's DNS label under the edge domain, allocated
	// at creation and fixed from then on.
	Endpoint string `json:"endpoint,omitempty"`
	// URL is the public address, the endpoint under the installation's edge
	// domain.
	URL string `json:"url,omitempty"`
	// Enabled is the on/off switch; if nil, the environment is on.
	Enabled *bool `json:"enabled,omitempty"`
	// Directory names the pool of users who may log in: one of the project or,
	// where the project has none of that name, of the organization. If empty,
	// nobody can.
	Directory string `json:"directory,omitempty"`
	// DirectoryID is what the name meant when it was written. Another directory
	// that takes the name later does not change it.
	DirectoryID string `json:"directory_id,omitempty"`
	// WAF is the default mode of the environment's routes; if empty, WAFOff.
	WAF WAFMode `json:"waf,omitempty"`
	// WAFSettings are those of routes that have none.
	WAFSettings *WAFSettings `json:"waf_settings,omitempty"`
	// AllowIPs are the ranges of client addresses that may use the environment at all, its own
	// pages included, at most MaxRouteIPs; if empty, all may.
	AllowIPs []string `json:"allow_ips,omitempty"`
	// DenyIPs are ranges of client addresses that may not, at most MaxRouteIPs. It wins over
	// AllowIPs.
	DenyIPs []string `json:"deny_ips,omitempty"`
	// Maintenance closes the environment to visitors; if nil, it is open.
	Maintenance *Maintenance `json:"maintenance,omitempty"`
	// CreatedBy is the id of the person or service account that made it. It tells whose a
	// personal environment is, and gives no right. Environments from before it was kept have
	// none.
	CreatedBy string `json:"created_by,omitempty"`
}

// EnvironmentProduction is the environment whose endpoint leaves out the
// environment's name, and the one a Warpgate serves when nothing names another.
const EnvironmentProduction = "production"

// IsEnabled is the state of the switch.
func (e *Environment) IsEnabled() bool { return e.Enabled == nil || *e.Enabled }

// Validate checks what a client may set.
func (e *Environment) Validate() error {
	if err := ValidateName("name", e.Name); err != nil {
		return err
	}
	if e.Directory != "" {
		if err := ValidateName("directory", e.Directory); err != nil {
			return err
		}
	}
	for _, err := range []error{
		e.WAF.validate("waf"), e.WAFSettings.validate("waf_settings"), validateIPRanges("allow_ips", e.AllowIPs), validateIPRanges("deny_ips", e.DenyIPs), e.Maintenance.validate("maintenance"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// ReservedLabels are labels under the edge domain that no environment gets, because users
// would take them for a part of the installation, or because certificate authorities look
// there for instructions.
var reservedLabels = map[string]bool{
	"www": true, "api": true, "console": true, "login": true, "auth": true, "account": true, "accounts": true,
	"admin": true, "control": true, "edge": true, "tunnel": true, "mezu": true, "mezusphere": true, "status": true,
	"mail": true, "smtp": true, "ns": true, "ns1": true, "ns2": true, "mx": true, "mta-sts": true, "autodiscover": true,
	"wpad": true, "isatap": true, "localhost": true, "static": true, "cdn": true, "docs": true, "support": true, "security": true,
}

// ReservedLabel reports whether a label under the edge domain belongs to the
// installation itself.
func ReservedLabel(label string) bool {
	return reservedLabels[label] || strings.HasPrefix(label, "_") || !isLabel(label)
}

// EndpointLabel proposes the endpoint of an environment. Attempt 0 is the plain
// form, <project>-<environment>-<org>, and <project>-<org> for production; when
// that is taken, reserved or too long, the attempts from 1 append a short suffix
// that depends only on the three names and the attempt.
func EndpointLabel(organization, project, environment string, attempt int) string {
	label := project + "-" + organization
	if environment != EnvironmentProduction {
		label = project + "-" + environment + "-" + organization
	}
	if attempt == 0 {
		return label
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{organization, project, environment, string(rune('0' + attempt))}, "\x00")))
	suffix := idAlphabet.EncodeToString(sum[:5])[:6]
	if room := MaxLabelLength - len(suffix) - 1; len(label) > room {
		label = strings.TrimRight(label[:room], "-")
	}
	return label + "-" + suffix
}

// EndpointFits reports whether a proposed label may be allocated at all.
func EndpointFits(label string) bool {
	return len(label) <= MaxLabelLength && !ReservedLabel(label) && (len(label) < 4 || label[2:4] != "--")
}
