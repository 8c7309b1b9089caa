package store

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// PageToken is the token of the page that follows a key, whether or not there is a
// record with it: the key itself, so that it means the same whatever was written
// meanwhile. It must have the prefix of the listing.
func PageToken(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// ParsePageToken gives the key that a listing of prefix goes on after; it is empty
// for the first page.
func ParsePageToken(prefix, token string) (string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	key := string(b)
	if err != nil || token != "" && (!strings.HasPrefix(key, prefix) || len(key) > MaxKeyBytes) {
		return "", fmt.Errorf("listing %q: page token: %w", prefix, ErrInvalid)
	}
	return key, nil
}
