package mezu

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"time"
)

// Token kinds: what a random secret opens.
const (
	// TokenBearer is a member's or operator's access to the API.
	TokenBearer = "mezu_"
	// TokenJoin lets one edge enrol.
	TokenJoin = "mezujoin_"
	// TokenEnrolment lets one Warpgate register, bound to an environment and
	// to the key of its certificate request.
	TokenEnrolment = "mezuenrol_"
	// TokenBootstrap makes its first redeemer operator.
	TokenBootstrap = "mezuboot_"
	// TokenInvitation lets one person into an organization, bound to a mail
	// address.
	TokenInvitation = "mezuinvite_"
)

// Lives of single-use tokens.
const (
	JoinTokenLife      = 10 * time.Minute
	EnrolmentTokenLife = 10 * time.Minute
)

// NewToken makes a secret of 256 random bits behind a prefix that tells people
// and secret scanners what it is.
func NewToken(kind string) string {
	var raw [32]byte
	rand.Read(raw[:])
	return kind + base64.RawURLEncoding.EncodeToString(raw[:])
}

// HashSecret is how a random secret is kept: SHA-256 in hexadecimal. A slow
// hash would add nothing, because these secrets can't be guessed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
