// Package assertion is the signed statement of who a user is that a workload receives with
// each request, as a JSON Web Token (RFC 7519, RFC 8037).
//
// What lives here: minting it from a verified grant, the keys for those who check it, and a
// check that takes nothing else. What may not: verifying grants, headers, sockets. Package
// grant keeps what is minted; daemon mints, edgesvc/edge lists keys, and workloads in Go may
// check by it.
package assertion

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/mezusphere/mezu"
)

const (
	// Life is how long an assertion is good, unless the session ends before.
	Life = 5 * time.Minute
	// reuse is how long one goes with further requests of its session: a workload has at
	// least a minute to check it.
	reuse = 4 * time.Minute
)

// Claims are what an assertion says.
type Claims struct {
	// Issuer is the URL of the environment, Audience its id.
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	// Subject is the user's id.
	Subject   string `json:"sub"`
	IssuedAt  int64  `json:"iat"` // seconds since 1970
	NotBefore int64  `json:"nbf"`
	Expires   int64  `json:"exp"`
	// AuthTime is when the user logged in, Methods how.
	AuthTime int64    `json:"auth_time"`
	Methods  []string `json:"amr"`
	Session  string   `json:"sid"`
	Email    string   `json:"email"`
	Name     string   `json:"name,omitempty"`
	Roles    []string `json:"roles"`
}

// header is that of every assertion.
type header struct {
	Algorithm string `json:"alg"`
	Type      string `json:"typ"`
	KeyID     string `json:"kid"`
}

// The only algorithm and type that there are.
const (
	algorithm = "EdDSA"
	tokenType = "JWT"
)

// Minter makes the assertions of one Warpgate.
type Minter struct {
	key              ed25519.PrivateKey
	head             string // encoded, with its dot
	issuer, audience string
}

// NewMinter makes a minter that signs by key, for the workload of an environment: its URL and
// its id.
func NewMinter(key ed25519.PrivateKey, issuer, audience string) *Minter {
	head, err := json.Marshal(header{algorithm, tokenType, mezu.AssertionKeyID(key.Public().(ed25519.PublicKey))})
	if err != nil {
		panic(err) // unreachable: three strings
	}
	return &Minter{key: key, head: base64.RawURLEncoding.EncodeToString(head) + ".", issuer: issuer, audience: audience}
}

// Mint makes an assertion from a grant.
func (m *Minter) Mint(g *mezu.Grant, now time.Time) ([]byte, error) {
	expires := now.Add(Life)
	if g.NotAfter.Before(expires) {
		expires = g.NotAfter
	}
	roles := g.Roles
	if roles == nil {
		roles = []string{}
	}
	claims, err := json.Marshal(Claims{
		Issuer: m.issuer, Audience: m.audience, Subject: g.User, IssuedAt: now.Unix(), NotBefore: now.Unix(), Expires: expires.Unix(),
		AuthTime: g.AuthTime.Unix(), Methods: []string{g.Method}, Session: g.Session, Email: g.Email, Name: g.Name, Roles: roles,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding an assertion: %w", err)
	}
	b64 := base64.RawURLEncoding
	out := make([]byte, 0, len(m.head)+b64.EncodedLen(len(claims))+1+b64.EncodedLen(ed25519.SignatureSize))
	out = b64.AppendEncode(append(out, m.head...), claims)
	signature := ed25519.Sign(m.key, out)
	return b64.AppendEncode(append(out, '.'), signature), nil
}

// Kept is the assertion that goes with the requests of one session. If zero, there is none
// yet.
type Kept struct{ current atomic.Pointer[kept] }

type kept struct {
	by    *Minter
	text  []byte
	until time.Time
}

// Get gives the assertion of a grant, which must be the same at each call. It is minted when
// there is none by this minter that is fresh enough. The text must not be changed.
func (k *Kept) Get(m *Minter, g *mezu.Grant, now time.Time) ([]byte, error) {
	if c := k.current.Load(); c != nil && c.by == m && now.Before(c.until) {
		return c.text, nil
	}
	text, err := m.Mint(g, now)
	if err != nil {
		return nil, err
	}
	k.current.Store(&kept{m, text, now.Add(reuse)})
	return text, nil
}
