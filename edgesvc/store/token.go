package store

import "encoding/base64"

// PageToken is the token of the page that follows a key, whether or not there is a
// record with it: the key itself, so that it means the same whatever was written
// meanwhile. It must have the prefix of the listing.
func PageToken(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }
