package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"golang.org/x/text/unicode/norm"

	"github.com/mezusphere/mezu"
)

// purposeMail derives the key of the index of users' mail addresses.
const purposeMail = "mail addresses of users"

// NormalizeMail is the form in which two mail addresses are compared: in Unicode's
// canonical composition (NFC, UAX #15) and lower case, in the local part as well as in
// the domain. Lower case is taken of the decomposed form, so that a dotted capital I
// keeps its dot however it was written. RFC 5321 lets a host tell local parts apart by
// case; none does, and users don't. All other differences count: dots, +tags, and a domain in
// its Unicode or its ASCII form. Mail is sent to the address that is stored, never to one
// that somebody typed.
func NormalizeMail(address string) string {
	return norm.NFC.String(mezu.CanonicalEmail(norm.NFD.String(address)))
}

// mailEntry is the key under which a directory's user is found by mail: a keyed hash
// (HMAC-SHA-256) of directory and address. Whoever reads the store can neither guess
// addresses nor see who has users in two directories.
func (s *Identity) mailEntry(directory, address string) string {
	h := hmac.New(sha256.New, s.mailKey)
	h.Write([]byte(directory + "\x00" + NormalizeMail(address)))
	return keyMail(directory, base64.RawURLEncoding.EncodeToString(h.Sum(nil)))
}
