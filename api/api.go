// Package api is the REST contract between the control plane and everything
// that talks to it: the operations with their paths, the bodies that are not
// entities of the domain, the events of the edge stream, and the client. Both
// ends of the wire meet here.
//
// What may not live here: the implementation of an operation, the store, huma or
// another server framework (the client is linked into small programs). Every
// package but the domain, policy, relay and tunnel may import it.
package api

import (
	"crypto/ed25519"
	"time"

	"github.com/mezusphere/mezu"
)

// Limits of the API.
const (
	// MaxBody bounds a request body: the largest usual one is a list of
	// routes.
	MaxBody = 1 << 20
	// MaxRoutesBody bounds the one body that replaces all routes of an environment.
	MaxRoutesBody = mezu.MaxRoutesBytes + 1<<20
	// MaxApplyBody bounds a manifest: an environment at its limit and as much
	// again for the others.
	MaxApplyBody = 16 << 20
	// DefaultPageSize and MaxPageSize bound listings.
	DefaultPageSize = 100
	MaxPageSize     = 1000
)

// HeaderCredentialEnds is in the answer to a call whose credential ends within mezu.EndNotice: when
// it does (RFC 3339).
const HeaderCredentialEnds = "Mezu-Credential-Ends"

// Problem is the body of every refusal (RFC 9457).
type Problem struct {
	// Type is a URI of the kind of problem (RFC 9457); absent, as Code says all.
	Type string `json:"type,omitempty"`
	// Title is the text of the HTTP status.
	Title string `json:"title"`
	// Status is the HTTP status.
	Status int `json:"status"`
	// Code says what went wrong, to programs. Codes never change their meaning.
	Code mezu.Code `json:"code"`
	// Detail says what happened, to people, in a sentence.
	Detail string `json:"detail,omitempty"`
	// Field is the part of the call that is wrong, such as routes[2].prefix or If-Match.
	Field string `json:"field,omitempty"`
	// Hint is the next thing to try.
	Hint string `json:"hint,omitempty"`
	// RequestID is the id of the call, which the control plane's log has too.
	RequestID string `json:"request_id,omitempty"`
}

// List is one page of a collection.
type List[T any] struct {
	// Items are the records of the page.
	Items []T `json:"items"`
	// NextPageToken gets the next page; without one this is the last.
	NextPageToken string `json:"next_page_token,omitempty"`
}

// AuditList is one page of an audit log. A page may be short, or empty, and still have a
// next one.
type AuditList struct {
	// Items are the records of the page.
	Items []mezu.AuditRecord `json:"items"`
	// NextPageToken gets the next page; without one this is the last.
	NextPageToken string `json:"next_page_token,omitempty"`
	// Damaged names the segments of the archive in the range of this page that are
	// missing or damaged: their records are not among Items.
	Damaged []string `json:"damaged,omitempty"`
}

// AuditEvent is the kind of the events of an audit watch; their ids are those of the
// records.
const AuditEvent = "audit"

// BootstrapRequest redeems the single-use code of a new installation, or one by which an
// operator who is locked out comes in again. Email, if given, becomes the address of a new
// operator, by which others find and invite them.
type BootstrapRequest struct {
	// Code is what the control plane printed at its first start, or "mezusphere operator reset"
	// did (mezuboot_…). It works once.
	Code string `json:"code"`
	// Email is the new operator's address; without one nobody can invite them. Of an operator
	// who is let in again it means nothing.
	Email string `json:"email,omitempty"`
}

// TokenCreated is a new bearer token with its secret, which is never shown again.
type TokenCreated struct {
	mezu.Token
	// Secret is the bearer token (mezu_…). It is never shown again.
	Secret string `json:"token"`
}

// OperatorRequest names a person whom this installation knows, either by id or by address.
type OperatorRequest struct {
	// Person is the person's id (prs_…); needed unless there is an address.
	Person string `json:"person,omitempty"`
	// Email is the person's address; needed unless there is an id.
	Email string `json:"email,omitempty"`
}

// InvitationCreated is a new invitation with its code, which is never shown again,
// and a link that contains the code. The code alone lets nobody in: it must be redeemed
// together with the invited address, which the link doesn't contain.
type InvitationCreated struct {
	mezu.Invitation
	// Code is what is redeemed, together with the address (mezuinvite_…). It is never shown again.
	Code string `json:"code"`
	// Link is the page at which the invited person redeems the code.
	Link string `json:"link"`
}

// RedeemRequest joins an organization. With a bearer token, the token's holder joins if
// Email is their own address. Without one, a new person is made, unless somebody has that
// address already.
type RedeemRequest struct {
	// Code is the invitation's (mezuinvite_…).
	Code string `json:"code"`
	// Email is the address that was invited.
	Email string `json:"email"`
}

// RedeemResponse is the new membership. A person who is new gets a bearer token,
// which is never shown again.
type RedeemResponse struct {
	// Member is the new membership.
	Member mezu.Member `json:"member"`
	// Token is the new person's bearer token. It is never shown again.
	Token string `json:"token,omitempty"`
	// ExpiresAt is when that token ends.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// LoginLink is a link by which one person logs in by a browser, once.
type LoginLink struct {
	// Link is the address to open in a browser. It is never shown again.
	Link string `json:"link"`
	// ExpiresAt is until when it works.
	ExpiresAt time.Time `json:"expires_at"`
}

// TokenResponse carries a bearer token, once.
type TokenResponse struct {
	// Token is a bearer token (mezu_…). It is never shown again.
	Token string `json:"token"`
	// ExpiresAt is when it ends.
	ExpiresAt time.Time `json:"expires_at"`
}

// Self is who the caller is.
type Self struct {
	// Kind is what the caller is.
	Kind string `json:"kind"`
	// ID is the person's or the service account's.
	ID string `json:"id"`
	// Organization is the id of the service account's.
	Organization string `json:"organization,omitempty"`
	// Project is the id of the service account's.
	Project string `json:"project,omitempty"`
	// Operator marks a person who runs the installation.
	Operator bool `json:"operator,omitempty"`
	// Permissions are all of a service account's. Of a person they are what the token is
	// restricted to; if empty, it is not.
	Permissions []mezu.Permission `json:"permissions,omitempty"`
	// ExpiresAt is when the token ends. The key of a service account has no end.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// TokenID is the id of the token that this call was made with, if it is one of the
	// caller's own bearer tokens.
	TokenID string `json:"token_id,omitempty"`
	// LoginEndsAt is when the login ends that the token is of, if it is not renewed until
	// then. Other tokens have none.
	LoginEndsAt time.Time `json:"login_ends_at,omitzero"`
	// Name is a service account's.
	Name string `json:"name,omitempty"`
	// OrganizationName is the name of the service account's organization.
	OrganizationName string `json:"organization_name,omitempty"`
	// ProjectName is the name of the service account's project.
	ProjectName string `json:"project_name,omitempty"`
	// Email is a person's address.
	Email string `json:"email,omitempty"`
	// Organizations are those of a person. Of more than MaxSelfOrganizations there are the first.
	Organizations []SelfMember `json:"organizations,omitempty"`
}

// SelfMember is the caller's part in an organization, both by name, and what the token allows
// of what the role gives.
type SelfMember struct {
	// Organization is its name.
	Organization string `json:"organization"`
	// Role is the caller's.
	Role mezu.Role `json:"role"`
	// Permissions are what the token allows of what the role gives.
	Permissions []mezu.Permission `json:"permissions,omitempty"`
}

// MaxSelfOrganizations bounds the organizations of Self.
const MaxSelfOrganizations = 100

// ServiceAccountCreated is a new service account with its key, which is never
// shown again.
type ServiceAccountCreated struct {
	mezu.ServiceAccount
	// Key is the API key, 50 letters and digits. It is never shown again.
	Key string `json:"key"`
}

// RotateRequest asks for a new key. The one before stays valid for Overlap, at most
// mezu.MaxKeyOverlap; if nil, for mezu.DefaultKeyOverlap. Zero ends every earlier key at
// once.
type RotateRequest struct {
	// Overlap is how long the key before stays valid, at most mezu.MaxKeyOverlap; if nil,
	// mezu.DefaultKeyOverlap. Zero (0s) ends every earlier key at once.
	Overlap *mezu.Duration `json:"overlap,omitempty"`
}

// WebhookSecretRequest sets the secret by which a webhook's deliveries are verified.
type WebhookSecretRequest struct {
	// Secret is what the provider signs with, as the provider shows it. If empty, none is added.
	Secret string `json:"secret,omitempty"`
	// Only ends every secret before it at once. Otherwise the last one before it stays valid, so
	// that the provider can be given the new one afterwards.
	Only bool `json:"only,omitempty"`
}

// RouteWritten is a route after a write. Warnings name its fields that this build doesn't
// enforce yet, so that the route answers 503, and what it may match unintentionally.
type RouteWritten struct {
	mezu.Route
	// Warnings name fields that this version doesn't enforce yet, so that the route answers 503,
	// and what the route may match unintentionally.
	Warnings []string `json:"warnings,omitempty"`
}

// EnvironmentWritten is an environment after a write. Warnings name its fields that this
// build doesn't enforce yet.
type EnvironmentWritten struct {
	mezu.Environment
	// Warnings name fields that this version doesn't enforce yet.
	Warnings []string `json:"warnings,omitempty"`
}

// DirectoryWritten is a directory after a write. Warnings name its settings that this build
// doesn't enforce yet.
type DirectoryWritten struct {
	mezu.Directory
	// Warnings name settings that this version doesn't enforce yet.
	Warnings []string `json:"warnings,omitempty"`
}

// RoutesReplace sets all routes of an environment.
type RoutesReplace struct {
	// Routes are all that the environment is to have, at most mezu.MaxRoutes.
	Routes []mezu.Route `json:"routes"`
}

// RoutesState is all routes of an environment, and which edges and Warpgates run them.
type RoutesState struct {
	// Routes are all of the environment, in the order in which they were written.
	Routes []mezu.Route `json:"routes"`
	// Position is that of the bundle which has them.
	Position mezu.Position `json:"position"`
	// Revision is that of the list as a whole: the value of If-Match when it is replaced.
	Revision uint64 `json:"revision"`
	// Warnings are those of all routes, as RouteWritten has them.
	Warnings []string `json:"warnings,omitempty"`
	// Applied lists the edges and Warpgates, each with the position that it has
	// acknowledged.
	Applied []Applied `json:"applied,omitempty"`
}

// Applied is the position of a bundle that an edge or a Warpgate runs.
type Applied struct {
	// ID is that of the edge (edg_…) or Warpgate (wgt_…).
	ID string `json:"id"`
	// Name is that of the edge, or of the machine that the Warpgate runs on, if it says one.
	Name string `json:"name,omitempty"`
	// Position is that of the newest bundle that it has acknowledged.
	Position mezu.Position `json:"position"`
	// Behind is how many changes of the environment it does not run yet; 10 stands for as many
	// or more.
	Behind int `json:"behind,omitempty"`
	// Since is when the first of them was made.
	Since time.Time `json:"since,omitzero"`
}

// ApplyRequest brings a project to what a manifest says.
type ApplyRequest struct {
	// Manifest is the wanted state, as mezu.yaml has it without tunnels.
	Manifest mezu.Manifest `json:"manifest"`
	// Prune removes the environments, directories and roles that the manifest does
	// not name.
	Prune bool `json:"prune,omitempty"`
	// DryRun checks the request and tells what it would change, but changes nothing.
	DryRun bool `json:"dry_run,omitempty"`
}

// ApplyResponse says what an apply changed, or would.
type ApplyResponse struct {
	// Changes are the differences, at most mezu.MaxChanges of them.
	Changes []mezu.Change `json:"changes"`
	// Omitted counts the changes beyond mezu.MaxChanges and MaxChangesBytes.
	Omitted int `json:"omitted,omitempty"`
	// Applied is false for a dry run, and if there was nothing to change.
	Applied bool `json:"applied"`
	// Position is at least that of the last bundle that this apply made.
	Position mezu.Position `json:"position"`
	// Warnings name what the manifest asks for and this version doesn't enforce yet, and what may
	// not be meant.
	Warnings []string `json:"warnings,omitempty"`
	// Environments are those that the manifest names, as they are now.
	Environments []mezu.Environment `json:"environments"`
}

// MaxChangesBytes bounds the changes of an ApplyResponse as they are encoded.
const MaxChangesBytes = 4 << 20

// JoinTokenResponse lets one edge enrol, once, until ExpiresAt.
type JoinTokenResponse struct {
	// Token is the secret (mezujoin_… or mezuenrol_…). It is never shown again.
	Token string `json:"token"`
	// ExpiresAt is until when it can be used.
	ExpiresAt time.Time `json:"expires_at"`
}

// EnrolmentTokenRequest asks for a token that lets one Warpgate register with one key
// pair.
type EnrolmentTokenRequest struct {
	// PublicKeySHA256 is the SHA-256, in hexadecimal, of the public key (PKIX, DER) of the
	// certificate request to come.
	PublicKeySHA256 string `json:"public_key_sha256"`
}

// Credentials are what a new edge or Warpgate identifies itself with.
type Credentials struct {
	// Certificates is the chain in PEM, leaf first, without the root.
	Certificates string `json:"certificates"`
	// TrustRoot is the public key (Ed25519) to pin at the first registration;
	// later ones must equal it.
	TrustRoot []byte `json:"trust_root"`
	// Keyset is the present one, signed by the offline trust root.
	Keyset mezu.Signed `json:"keyset"`
}

// RegisterRequest is a Warpgate's; it is authorised by a service account key or
// an enrolment token as bearer.
type RegisterRequest struct {
	// CSR is a PKCS #10 request in PEM. Only its public key is used.
	CSR string `json:"csr"`
	// Environment by name; if empty, the service account's default, else
	// production.
	Environment string `json:"environment,omitempty"`
	// Warpgate is the id of an earlier registration with the same key pair; if
	// empty, a new identity is made.
	Warpgate string `json:"warpgate,omitempty"`
	// Version is that of the Warpgate's program.
	Version string `json:"version,omitempty"`
	// Name is how people tell it from others of its environment: that of its machine. If
	// empty, it keeps the one that it had.
	Name string `json:"name,omitempty"`
	// AssertionKey is the one by which the Warpgate signs what it tells its workload of
	// users. It is certified, and used once it is in the statement of the environment's
	// keys. If empty, the Warpgate signs nothing.
	AssertionKey ed25519.PublicKey `json:"assertion_key,omitempty"`
	// AssertionProof shows that the Warpgate holds the private half of its AssertionKey: a
	// signature with it of the public key of the CSR.
	AssertionProof []byte `json:"assertion_proof,omitempty"`
}

// RegisterResponse is all that a Warpgate needs to serve.
type RegisterResponse struct {
	Credentials
	// Warpgate is its id (wgt_…).
	Warpgate string `json:"warpgate"`
	// Organization is the name of the one that it is in.
	Organization string `json:"organization"`
	// Project is the name of the one that it is in.
	Project string `json:"project"`
	// Environment is the name of the one that it serves.
	Environment string `json:"environment"`
	// URL is the environment's public address.
	URL string `json:"url"`
	// Bundle is the environment's newest.
	Bundle mezu.Signed `json:"bundle"`
	// Edges is the list of edges to dial.
	Edges mezu.Signed `json:"edges"`
	// Revocations are those of edges' certificates, up to MaxAnswerRevocations. All others
	// come from the edges.
	Revocations []mezu.Signed `json:"revocations,omitempty"`
	// Head is the newest position of the installation.
	Head mezu.Position `json:"head"`
}

// MaxAnswerRevocations bounds the revocations in a RegisterResponse. They are few: tenants
// can't add any, edges' certificates are seldom revoked, and an edge that was removed is not
// on the list of edges any more.
const MaxAnswerRevocations = 100

// RenewRequest asks for a new certificate for the identity of the client
// certificate in use.
type RenewRequest struct {
	// CSR is a PKCS #10 request in PEM, of which only the public key is used.
	CSR string `json:"csr"`
	// Version is that of the caller's program.
	Version string `json:"version,omitempty"`
	// AssertionKey is that of a RegisterRequest. An edge has none.
	AssertionKey ed25519.PublicKey `json:"assertion_key,omitempty"`
	// AssertionProof is that of a RegisterRequest.
	AssertionProof []byte `json:"assertion_proof,omitempty"`
	// SealingKey is that of an EnrolRequest. A Warpgate has none.
	SealingKey []byte `json:"sealing_key,omitempty"`
}

// WarpgateTargetsRequest is what a Warpgate says of where it sends requests, for who asks what it
// would make of one. It decides nothing.
type WarpgateTargetsRequest struct {
	mezu.WarpgateTargets
	// Version is that of the Warpgate's program.
	Version string `json:"version,omitempty"`
}

// EnrolRequest is an edge's; it is authorised by a join token as bearer.
type EnrolRequest struct {
	// CSR is a PKCS #10 request in PEM, of which only the public key is used.
	CSR string `json:"csr"`
	// Name is the edge's, unique in the installation: lower-case letters, digits and hyphens.
	Name string `json:"name"`
	// TunnelAddress is the host:port that Warpgates dial.
	TunnelAddress string `json:"tunnel_address"`
	// PublicAddress is the host:port of public HTTPS.
	PublicAddress string `json:"public_address,omitempty"`
	// Version is that of the edge's program.
	Version string `json:"version,omitempty"`
	// SealingKey is the public key (X25519) to which what edges alone may know is encrypted.
	SealingKey []byte `json:"sealing_key,omitempty"`
}

// EnrolResponse is what an edge starts with.
type EnrolResponse struct {
	Credentials
	// Edge is the edge's id.
	Edge string `json:"edge"`
	// Domain is the edge domain, under which endpoints are labels.
	Domain string `json:"domain"`
}

// PublicCertificateRequest asks for a server certificate of the internal CA for
// names of enabled endpoints (installations without a public CA: development).
type PublicCertificateRequest struct {
	// CSR is a PKCS #10 request in PEM, of which only the public key is used.
	CSR string `json:"csr"`
	// Hosts are the names that the certificate is for.
	Hosts []string `json:"hosts"`
}

// PublicCertificateChain is a certificate with those between it and the root.
type PublicCertificateChain struct {
	// Certificates is the chain in PEM, leaf first.
	Certificates string `json:"certificates"`
}

// EdgeReport is what an edge tells the control plane: which Warpgates are connected to it,
// and which positions it and they run. A Full report replaces all earlier ones; otherwise
// Presence has changes only.
type EdgeReport struct {
	// Full says that the report replaces all earlier ones.
	Full bool `json:"full,omitempty"`
	// Presence has Warpgates of the edge, at most MaxReportPresence.
	Presence []mezu.Presence `json:"presence,omitempty"`
	// Applied is the position up to which the edge has applied the stream.
	Applied mezu.Position `json:"applied"`
	// Version is that of the edge's program.
	Version string `json:"version,omitempty"`
	// TunnelAddress is the host:port that Warpgates dial now; if empty, it is as before.
	TunnelAddress string `json:"tunnel_address,omitempty"`
	// PublicAddress is the host:port of public HTTPS now; if empty, it is as before.
	PublicAddress string `json:"public_address,omitempty"`
}

// MaxReportPresence is how many Warpgates one report can contain.
const MaxReportPresence = 1000

// EdgeRevocations are signed revocations that an edge has but the control plane doesn't
// list, because it was restored from an older backup.
type EdgeRevocations struct {
	// Revocations are the statements, at most MaxEdgeRevocations.
	Revocations []mezu.Signed `json:"revocations"`
}

// MaxEdgeRevocations is how many go in one call. Each may end a Warpgate, which is a write of
// its own, and all must be done within the time of a call.
const MaxEdgeRevocations = 200

// RevocationsTaken is the outcome of an EdgeRevocations. A revocation that the control plane
// had already, or that has expired, is neither taken nor refused.
type RevocationsTaken struct {
	// Taken counts those that are in force now.
	Taken int `json:"taken"`
	// Refused counts those that no key of the present keyset has signed.
	Refused int `json:"refused"`
}

// EdgeReportInterval is how often an edge reports even when nothing changed. The control
// plane counts an edge as silent after EdgeSilence.
const (
	EdgeReportInterval = 4 * time.Second
	EdgeSilence        = 12 * time.Second
)

// StreamEvent is one event of the edge stream.
type StreamEvent struct {
	Kind StreamKind `json:"-"` // the SSE event name
	// Position is the SSE id, from which the stream can be resumed after this event. It
	// may be lower than the statement's own position: a snapshot sends keys and
	// revocations first, and these don't advance it.
	Position mezu.Position `json:"-"`
	Signed   mezu.Signed   `json:"signed"`
	// State comes with StreamSynced.
	State *StreamState `json:"state,omitempty"`
}

// StreamKind names an event of the edge stream.
type StreamKind string

// Kinds of stream events. With StreamSynced the edge has everything that was current when
// it connected.
const (
	StreamKeyset     StreamKind = "keyset"
	StreamRevocation StreamKind = "revocation"
	StreamEdges      StreamKind = "edges"
	StreamBundle     StreamKind = "bundle"
	StreamAssertions StreamKind = "assertions"
	StreamEdgePart   StreamKind = "edge-part"
	StreamSynced     StreamKind = "synced"
)
