package mezu

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"
)

// Grant is the control plane's signed statement of a session: who it is, in which
// directory, for which environment, with which roles, until when. The edge checks the
// session's secret against it, and the Warpgate gets it without the secret.
type Grant struct {
	Session     string // id
	User        string // id
	Directory   string // id
	Environment string // id
	// Epoch is that of the installation. After a restore, which raises it, the grant is
	// void.
	Epoch uint64
	// Method is how the user was authenticated, such as MethodPassword.
	Method string
	Email  string
	// Name is what the user is called: the display name if there is one.
	Name string
	// Roles are those of the environment's project.
	Roles    []string
	AuthTime time.Time
	IssuedAt time.Time
	// FreshUntil is when the grant wants to be refreshed beside the next request,
	// IdleUntil when it must be before it, NotAfter when the session ends however it is
	// used.
	FreshUntil, IdleUntil, NotAfter time.Time
	// SecretHash is SHA-256 of the session's secret.
	SecretHash [sha256.Size]byte
}

// Methods of authentication, as login histories and grants have them.
const (
	MethodPassword = "password"
	MethodLink     = "link"
)

// grantJSON is a grant as it is signed: short names and numbers, because it lives in a
// cookie. Times are milliseconds since 1970.
type grantJSON struct {
	Session     string   `json:"s"`
	User        string   `json:"u"`
	Directory   string   `json:"d"`
	Environment string   `json:"e"`
	Epoch       uint64   `json:"ep"`
	Method      string   `json:"m"`
	Email       string   `json:"em,omitempty"`
	Name        string   `json:"n,omitempty"`
	Roles       []string `json:"r,omitempty"`
	AuthTime    int64    `json:"at"`
	IssuedAt    int64    `json:"ia"`
	FreshUntil  int64    `json:"fr"`
	IdleUntil   int64    `json:"id"`
	NotAfter    int64    `json:"na"`
	SecretHash  string   `json:"h"`
}

// MarshalJSON encodes a grant as it is signed.
func (g Grant) MarshalJSON() ([]byte, error) {
	return encodeStatement(grantJSON{
		g.Session, g.User, g.Directory, g.Environment, g.Epoch, g.Method, g.Email, g.Name, g.Roles,
		g.AuthTime.UnixMilli(), g.IssuedAt.UnixMilli(), g.FreshUntil.UnixMilli(), g.IdleUntil.UnixMilli(), g.NotAfter.UnixMilli(),
		base64.RawURLEncoding.EncodeToString(g.SecretHash[:]),
	})
}

// UnmarshalJSON decodes what MarshalJSON encodes.
func (g *Grant) UnmarshalJSON(data []byte) error {
	var j grantJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return err
	}
	hash, err := base64.RawURLEncoding.Strict().DecodeString(j.SecretHash)
	if err != nil || len(hash) != sha256.Size {
		return Invalid("h", "is no SHA-256")
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	*g = Grant{
		Session: j.Session, User: j.User, Directory: j.Directory, Environment: j.Environment, Epoch: j.Epoch, Method: j.Method,
		Email: j.Email, Name: j.Name, Roles: j.Roles, AuthTime: at(j.AuthTime), IssuedAt: at(j.IssuedAt),
		FreshUntil: at(j.FreshUntil), IdleUntil: at(j.IdleUntil), NotAfter: at(j.NotAfter), SecretHash: [sha256.Size]byte(hash),
	}
	return nil
}

// Validate checks that a grant is one that the control plane can have made.
func (g *Grant) Validate() error {
	for _, id := range []struct{ field, prefix, id string }{
		{"session", PrefixSession, g.Session}, {"user", PrefixUser, g.User}, {"directory", PrefixDirectory, g.Directory}, {"environment", PrefixEnvironment, g.Environment},
	} {
		if err := ValidateID(id.field, id.prefix, id.id); err != nil {
			return err
		}
	}
	if err := validateGrantName("method", g.Method); err != nil {
		return err
	}
	if err := ValidateEmail("email", g.Email); err != nil {
		return err
	}
	if err := validateText("name", g.Name, MaxDisplayName); err != nil {
		return err
	}
	if len(g.Roles) > MaxUserRoles {
		return Invalid("roles", "at most %d", MaxUserRoles)
	}
	for _, r := range g.Roles {
		if err := validateGrantName("roles", r); err != nil {
			return err
		}
	}
	switch {
	case g.Epoch == 0:
		return Invalid("epoch", "a grant names its epoch")
	case g.NotAfter.Sub(g.AuthTime) > MaxGrantLife:
		return Invalid("not_after", "a session lives %s at most", MaxGrantLife)
	case g.FreshUntil.After(g.IdleUntil), g.IdleUntil.After(g.NotAfter):
		return Invalid("fresh_until", "comes before idle_until, and that before not_after")
	}
	return nil
}

// Opens reports whether a secret is that of the grant's session.
func (g *Grant) Opens(secret []byte) bool {
	hash := sha256.Sum256(secret)
	return subtle.ConstantTimeCompare(hash[:], g.SecretHash[:]) == 1
}

// Same reports whether two grants of a session say the same of the user, so that requests
// under way need not be cut when the one takes the place of the other.
func (g *Grant) Same(o *Grant) bool {
	return g.Session == o.Session && g.User == o.User && g.Email == o.Email && g.Name == o.Name && slices.Equal(g.Roles, o.Roles)
}

// MaxGrantLife is the longest life of a session, and therefore how long the revocation of a
// user is kept. NIST SP 800-63B-4 asks for a new login after 30 days at its lowest
// level.
const MaxGrantLife = 30 * 24 * time.Hour

// MaxGrant bounds a signed grant before it is encoded for a cookie: payload, key id and
// signature. One with the longest address, name and roles fits.
const MaxGrant = 2 << 10

// MaxGrantText bounds the compact form of a grant: with the session's secret, the cookie's
// name and attributes it stays under 3 KiB. Browsers keep cookies of 4 KiB.
const MaxGrantText = 2800

// SessionCookie is the name of the cookie that holds a session: its secret, a dot, and the
// compact form of its grant.
const SessionCookie = CookiePrefix + "session"

// CookiePrefix begins the names of all cookies of ours. A browser takes a cookie whose name
// begins with __Host- from the host itself only, over TLS, and never for a domain
// (draft-ietf-httpbis-rfc6265bis, 4.1.3.2).
const CookiePrefix = "__Host-mezu_"

// SecretLength is the length of a session's secret in a cookie: 256 bits in base64url
// without padding.
const SecretLength = 43

// SplitSession splits the value of a session's cookie into the secret and the compact form
// of the grant. They alias value.
func SplitSession(value []byte) (secret, grant []byte, ok bool) {
	if len(value) <= SecretLength+1 || len(value) > SecretLength+1+MaxGrantText || value[SecretLength] != '.' {
		return nil, nil, false
	}
	for _, c := range value { // at each request, so without a search in a string, which takes three times as long
		if c <= ' ' || c >= 0x7f || c == '"' || c == ',' || c == ';' || c == '\\' {
			return nil, nil, false
		}
	}
	return value[:SecretLength], value[SecretLength+1:], true
}
