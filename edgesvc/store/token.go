package store

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// PageToken is the token of the page that begins after key, which has the prefix of the
// listing. A token is the key itself, so that it means the same whatever is written
// meanwhile, even if the record with that key is deleted.
func PageToken(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

// ParsePageToken gives the key after which a listing of prefix goes on. It is empty for the
// first page.
func ParsePageToken(prefix, token string) (string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	key := string(b)
	if err != nil || token != "" && (!strings.HasPrefix(key, prefix) || len(key) > MaxKeyBytes) {
		return "", fmt.Errorf("listing %q: page token: %w", prefix, ErrInvalid)
	}
	return key, nil
}
