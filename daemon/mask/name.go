package mask

import (
	"bytes"
	"slices"
	"strings"
)

// maxName is the longest name that is looked at. Whoever makes longer ones may hide something in
// them, so these are secret.
const maxName = 256

// stems make a name secret that has one of them anywhere, its words put together.
var stems = withLetters("token", "secret", "passw", "passphrase", "passcode", "signature", "session", "sessid", "csrf", "xsrf",
	"credential", "cookie", "authoriz", "authoris", "apikey", "accesskey", "privatekey", "signingkey", "encryptionkey", "masterkey",
	"authkey", "accountkey", "sharedkey", "subscriptionkey", "functionskey", "assertion", "samlresponse", "mnemonic", "hmac", "bearer",
	"codeverifier", "devicecode", "authcode", "recoverycode", "backupcode", "verificationcode", "onetimecode")

// notStems are words that have a stem in them and are no secret.
var notStems = [][]byte{[]byte("tokeniz"), []byte("tokenis"), []byte("secretar"), []byte("ossession")}

// secretWords make a name secret that has one of them as a word.
var secretWords = []string{"otp", "totp", "jwt", "pwd", "sig", "dpop", "cvv", "cvc", "creds"}

// endings make a name secret that ends in one of them.
var endings = []string{"auth", "pass", "pin"}

// about are endings of names of what is said about a secret.
var about = []string{"type", "types", "endpoint", "expires", "expiry", "count", "supported", "algorithm", "alg", "method", "methods",
	"at", "in", "ttl", "policy", "limit", "used"}

// queryNames are secret in queries and forms, where OAuth and signed addresses use them. Elsewhere
// most of them are ordinary words.
var queryNames = []string{"code", "key", "sig", "sid", "state", "nonce", "ticket"}

// stem is one with the set of its letters, by which most names are told to lack it.
type stem struct {
	text    []byte
	letters uint32
}

func withLetters(list ...string) []stem {
	out := make([]stem, len(list))
	for i, s := range list {
		out[i] = stem{[]byte(s), letters([]byte(s))}
	}
	return out
}

// letters is the set of a to z in s.
func letters(s []byte) uint32 {
	var out uint32
	for _, c := range s {
		if c >= 'a' && c <= 'z' {
			out |= 1 << (c - 'a')
		}
	}
	return out
}

// Name reports whether a value of this name holds a secret by convention: in any case, its words
// together or parted by anything but letters and digits.
func Name(name string) bool { return isName(name) }

// isName is Name of either kind of text.
func isName[T text](name T) bool {
	if len(name) < 3 {
		return false
	}
	if len(name) > maxName {
		return true
	}
	var buf [maxName]byte
	var from [maxName]uint8 // where words begin
	all, words := split(name, buf[:0], from[:0])
	return isSecret(all, words)
}

// isQueryName is isName in queries and forms, whose names may be encoded.
func isQueryName[T text](name T) bool {
	var raw [maxName]byte
	plain, ok := decodePercent(name, raw[:0])
	if !ok {
		return true
	}
	var buf [maxName]byte
	var from [maxName]uint8
	all, words := split(plain, buf[:0], from[:0])
	if slices.Contains(queryNames, string(all)) {
		return true
	}
	for i := range words {
		switch string(wordAt(all, words, i)) {
		case "auth", "oauth", "pin", "otp":
			return true
		}
	}
	return isSecret(all, words)
}

// decodePercent undoes the encoding of a name. It fails on one that is too long, malformed or
// encoded twice, which nobody does who has nothing to hide.
func decodePercent[T text](name T, out []byte) ([]byte, bool) {
	if len(name) > maxName {
		return nil, false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c == '%' {
			if i+2 >= len(name) {
				return nil, false
			}
			high, low := unhex(name[i+1]), unhex(name[i+2])
			if high < 0 || low < 0 || high<<4|low == '%' {
				return nil, false
			}
			c = byte(high<<4 | low)
			i += 2
		}
		out = append(out, c)
	}
	return out, true
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// split gives the letters and digits of a name in lower case, and where its words begin: behind
// everything else, and at humps.
func split[T text](name T, all []byte, words []uint8) ([]byte, []uint8) {
	begin := true
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= 0x80:
		case c >= 'A' && c <= 'Z':
			lowerBefore := i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z'
			upperBefore := i > 0 && name[i-1] >= 'A' && name[i-1] <= 'Z'
			lowerBehind := i+1 < len(name) && name[i+1] >= 'a' && name[i+1] <= 'z'
			begin = begin || lowerBefore || upperBefore && lowerBehind
			c += 'a' - 'A'
		default:
			begin = true
			continue
		}
		if begin {
			words = append(words, uint8(len(all)))
			begin = false
		}
		all = append(all, c)
	}
	return all, words
}

// wordAt is one word of a name.
func wordAt(all []byte, words []uint8, i int) []byte {
	if i+1 < len(words) {
		return all[words[i]:words[i+1]]
	}
	return all[words[i]:]
}

// isSecret is the decision.
func isSecret(all []byte, words []uint8) bool {
	if len(words) == 0 {
		return false
	}
	last := wordAt(all, words, len(words)-1)
	if len(words) > 1 && slices.Contains(about, string(last)) {
		return false
	}
	for _, w := range endings {
		if string(last) == w {
			return true
		}
	}
	for i := range words {
		if w := wordAt(all, words, i); len(w) <= 5 && slices.Contains(secretWords, string(w)) {
			return true
		}
	}
	have := letters(all)
	for i := range stems {
		if s := stems[i]; have&s.letters == s.letters && bytes.Contains(all, s.text) {
			for _, not := range notStems {
				if bytes.Contains(all, not) {
					return false
				}
			}
			return true
		}
	}
	return false
}

// isPlural reports whether a name is of tokens that are counted rather than shown, as those of
// language models: its value is one if it is no number.
func isPlural[T text](name T) bool {
	n := len(name)
	return n >= 6 && strings.EqualFold(string(name[n-6:]), "tokens")
}
