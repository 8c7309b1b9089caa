package mezu

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
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
	// TokenRefresh gets a program that somebody logged in with its next bearer token.
	TokenRefresh = "mezurefresh_"
)

// Token is one bearer token of a person. It allows all that the person may do, or a part of
// that. The secret is shown once, at creation, and never stored.
type Token struct {
	Meta
	// Name is for its holder: any text of at most MaxDisplayName bytes, or none.
	Name string `json:"name,omitempty"`
	// Permissions restrict the token to a part of what the person may do; if nil, it may
	// do all of that.
	Permissions []Permission `json:"permissions,omitempty"`
	// ExpiresAt is at most MaxTokenLife away; if zero, DefaultTokenLife.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Lives of bearer tokens.
const (
	// DefaultTokenLife is a month, to bound the harm of a token that was lost.
	DefaultTokenLife = 30 * 24 * time.Hour
	// MaxTokenLife is for machines that nobody looks at every month.
	MaxTokenLife = 90 * 24 * time.Hour
)

// Validate checks what a client may set, except the end, which depends on the time.
func (t *Token) Validate() error {
	if err := validateText("name", t.Name, MaxDisplayName); err != nil {
		return err
	}
	// An empty list reads like "nothing", but would be stored like a missing one, which
	// means "everything".
	if t.Permissions != nil && len(t.Permissions) == 0 {
		return Invalid("permissions", "is empty; leave it out to take nothing away")
	}
	return validatePermissions("permissions", t.Permissions, slices.Concat(servicePermissions, personPermissions))
}

// EndNotice is how long before its end people are told of what ends: long enough to find somebody
// who renews it, and seldom enough to be read.
const EndNotice = 7 * 24 * time.Hour

// EndNoticeOf says of what ends at a time that it does soon, or has; it is empty before that.
func EndNoticeOf(end, now time.Time) string {
	switch left := end.Sub(now); {
	case left <= 0:
		return "has ended"
	case left < EndNotice:
		return "ends within a week"
	}
	return ""
}

// Lives of single-use tokens.
const (
	JoinTokenLife      = 10 * time.Minute
	EnrolmentTokenLife = 10 * time.Minute
)

// NewToken makes a secret of 256 random bits, with a prefix by which people and secret
// scanners see what it is.
func NewToken(kind string) string {
	var raw [32]byte
	rand.Read(raw[:])
	return kind + base64.RawURLEncoding.EncodeToString(raw[:])
}

// byteOrderMark is what some editors and shells put before a text.
const byteOrderMark = "\ufeff"

// ParseSecret reads a key or token from the text of a file or variable. It removes the line
// end, spaces and byte order mark that editors and shells leave around it. Its error shows
// nothing of the secret. An empty text gives "" and no error.
func ParseSecret(text string) (string, error) {
	text = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(text), byteOrderMark))
	if strings.IndexByte(text, 0) >= 0 {
		return "", &Error{Code: CodeInvalid, Detail: "is UTF-16", Hint: "write the key or token as plain ASCII; PowerShell does with Set-Content -Encoding ascii"}
	}
	for i := range len(text) {
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			return "", &Error{Code: CodeInvalid, Detail: "holds more than one line", Hint: "a key or token is one word; leave everything else out"}
		case c <= ' ' || c > '~':
			return "", &Error{Code: CodeInvalid, Detail: fmt.Sprintf("holds a character that no key or token has, at place %d", i+1), Hint: "copy the key or token anew, and nothing else"}
		}
	}
	return text, nil
}

// HashSecret is the form in which a random secret is stored: SHA-256 in hexadecimal. A slow
// hash would add nothing, because these secrets can't be guessed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
