package mezu

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// MaxNameLength bounds a name so that three of them and their separators
// usually fit one DNS label of 63 characters.
const MaxNameLength = 40

// MaxLabelLength is DNS's own limit on one label (RFC 1035, 2.3.4).
const MaxLabelLength = 63

// reservedName can't be the name of a record, because the path of that record is the path
// of the collection's events.
const reservedName = "watch"

// ValidateName checks a name: a lower-case DNS label of at most MaxNameLength
// characters with no "--" at positions 3 and 4, which IDNA reserves (RFC 5891,
// 4.2.3.1), and not reservedName. field is what the error names.
func ValidateName(field, name string) error {
	switch {
	case name == "":
		return Invalid(field, "a name is required")
	case len(name) > MaxNameLength:
		return Invalid(field, "a name has at most %d characters, this has %d", MaxNameLength, len(name))
	case !isLabel(name):
		return Invalid(field, "a name has only a-z, 0-9 and '-', and starts and ends with a letter or digit")
	case len(name) >= 4 && name[2:4] == "--":
		return Invalid(field, "a name may not have '--' at positions 3 and 4")
	case name == reservedName:
		return Invalid(field, "%q is a part of the API's paths; choose another name", name)
	}
	return nil
}

// isLabel reports whether s is a non-empty lower-case letter-digit-hyphen label
// that neither starts nor ends with a hyphen.
func isLabel(s string) bool {
	if s == "" || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// NameFrom turns free text (a directory's name) into a valid name, or returns
// fallback when nothing usable is left of it.
func NameFrom(text, fallback string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() == MaxNameLength {
			break
		}
	}
	name := strings.Trim(b.String(), "-")
	if ValidateName("", name) != nil {
		return fallback
	}
	return name
}

// Prefixes of ids, one per kind of record.
const (
	PrefixOrganization   = "org"
	PrefixProject        = "prj"
	PrefixEnvironment    = "env"
	PrefixRoute          = "rte"
	PrefixWarpgate       = "wgt"
	PrefixServiceAccount = "sva"
	PrefixWebhook        = "whk"
	PrefixDirectory      = "dir"
	PrefixUser           = "usr"
	PrefixMember         = "mbr"
	PrefixPerson         = "prs"
	PrefixInvitation     = "inv"
	PrefixEdge           = "edg"
	PrefixControl        = "ctl"
	PrefixToken          = "tok"
	PrefixSession        = "ses"
	PrefixMail           = "eml"
)

// idCharacters are lower-case Crockford base32: sortable, no look-alikes.
const idCharacters = "0123456789abcdefghjkmnpqrstvwxyz"

var idAlphabet = base32.NewEncoding(idCharacters).WithPadding(base32.NoPadding)

// idLength is the length of an id without prefix and underscore: 6 bytes of
// time and 10 random ones in base32.
const idLength = 26

// NewID makes an id: prefix, underscore, then 48 bits of milliseconds and 80
// random bits, so that a person's listing sorts by age. Code must not order by
// it or use it as a cursor.
func NewID(prefix string, now time.Time) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(now.UnixMilli())<<16)
	rand.Read(raw[6:]) // never fails: crypto/rand ends the process instead
	return prefix + "_" + idAlphabet.EncodeToString(raw[:])
}

// ValidateID checks that id has the prefix and the form that NewID makes.
func ValidateID(field, prefix, id string) error {
	rest, ok := strings.CutPrefix(id, prefix+"_")
	if !ok || len(rest) != idLength {
		return Invalid(field, "an id of the form %s_… with %d characters is expected", prefix, idLength)
	}
	// Decoding would be too lax: base32 skips line breaks and ignores the last two bits.
	if strings.Trim(rest, idCharacters) != "" {
		return Invalid(field, "an id has only the characters 0-9 and a-z without i, l, o, u")
	}
	return nil
}
