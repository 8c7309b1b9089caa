// Package password is what is asked of a password that somebody chooses, and how one is
// kept and compared: rules, common passwords, Argon2id, and the bound on its work.
//
// What may not live here: records, accounts, attempts and their delays (package identity
// and the login flows, which import this), and the texts of pages, which translate a
// Reason. It knows the domain alone.
package password

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/mezusphere/mezu"
)

const (
	// MaxLength is the most characters of a password. It is far above what a person types
	// or a password manager makes, and bounds the work of the rules.
	MaxLength = 1024
	// maxBytes bounds what is normalised at all. A character of the normal form comes of
	// four code points at most, which have fewer than 16 bytes.
	maxBytes = 16 * MaxLength
	// enough is how many characters there must be beside what is easily guessed: the
	// shortest password that NIST SP 800-63B-4 knows.
	enough = mezu.MinPasswordLengthWithMFA
	// wordLength is the length from which a word of the context counts. Shorter ones are
	// in most passwords by chance.
	wordLength = 4
)

// Reason is why a password is refused. It belongs to a closed set, so that pages can say
// it in the language of whoever reads them.
type Reason string

// Reasons of a refusal.
const (
	NotUTF8  Reason = "not_utf8"
	TooShort Reason = "too_short"
	TooLong  Reason = "too_long"
	// Common is a common password, or one with digits behind.
	Common Reason = "common"
	// Repeated is a common password, or a few characters, several times.
	Repeated Reason = "repeated"
	// Run is a password that has little beside abcdef, 1234, qwerty and aaaa.
	Run Reason = "run"
	// Context is a password that has little beside words of whoever has it.
	Context Reason = "context"
)

// Reasons are all reasons.
func Reasons() []Reason {
	return []Reason{NotUTF8, TooShort, TooLong, Common, Repeated, Run, Context}
}

// Error makes a Reason the cause of a refusal.
func (r Reason) Error() string { return "password refused: " + string(r) }

// ReasonOf is why an error of Normalize, Policy.Check or Hasher.Hash refuses a password,
// and empty for any other error.
func ReasonOf(err error) Reason {
	var r Reason
	errors.As(err, &r)
	return r
}

// refuse makes a refusal.
func refuse(r Reason, detail string) error {
	return &mezu.Error{Code: mezu.CodeInvalid, Field: "password", Detail: detail, Cause: r}
}

// Normalize gives the one form of a password that is counted, judged and hashed: NFKC, so
// that every keyboard and system types the same one. Nothing is cut off or left out.
// What is too long is refused without being looked at.
func Normalize(password string) (string, error) {
	if len(password) > maxBytes {
		return "", tooLong()
	}
	if !utf8.ValidString(password) {
		return "", refuse(NotUTF8, "is not UTF-8")
	}
	out := norm.NFKC.String(password)
	if utf8.RuneCountInString(out) > MaxLength {
		return "", tooLong()
	}
	return out, nil
}

func tooLong() error {
	return refuse(TooLong, "has more than "+strconv.Itoa(MaxLength)+" characters")
}

// Policy is what is asked of one password.
type Policy struct {
	// MinLength in characters; if zero, mezu.MinPasswordLength.
	MinLength int
	// Refused are words of the context, which are guessed first: mail address, names,
	// project, host. Their parts count too: of shop.example.org, shop and example. The
	// product's own name always counts.
	Refused []string
}

// Least is the fewest characters that are accepted: never less than what has to be there
// beside what is easily guessed.
func (p Policy) Least() int {
	if p.MinLength == 0 {
		return mezu.MinPasswordLength
	}
	return max(enough, p.MinLength)
}

// Check refuses a password that breaks a rule. The error is a *mezu.Error of the field
// "password", and ReasonOf says which rule it was. There are no rules of composition:
// spaces, emoji and control characters are characters like others.
func (p Policy) Check(password string) error {
	password, err := Normalize(password)
	if err != nil {
		return err
	}
	if utf8.RuneCountInString(password) < p.Least() {
		return refuse(TooShort, "has under "+strconv.Itoa(p.Least())+" characters")
	}
	folded := fold(password)
	if isCommon(folded) {
		return refuse(Common, "is a common password, or one with digits behind")
	}
	runes := []rune(folded)
	easy := make([]bool, len(runes))
	if markRuns(runes, easy); tooFew(easy) {
		return refuse(Run, "has under "+strconv.Itoa(enough)+" characters beside runs such as abcdef, 1234 or qwerty")
	}
	if isRepeated(folded) {
		return refuse(Repeated, "repeats a common password or a few characters")
	}
	for _, word := range p.words() {
		mark(runes, word, easy)
	}
	if tooFew(easy) {
		return refuse(Context, "has under "+strconv.Itoa(enough)+" characters beside mail address, names, project and host")
	}
	return nil
}

// words are the refused ones and their parts, as the folded password has them.
func (p Policy) words() [][]rune {
	var out [][]rune
	for _, s := range append([]string{"mezusphere", "mezu"}, p.Refused...) {
		s = fold(norm.NFKC.String(s))
		parts := strings.FieldsFunc(s, func(r rune) bool { return !unicode.In(r, unicode.L, unicode.M, unicode.N) })
		for _, word := range append(parts, s) {
			if r := []rune(word); len(r) >= wordLength {
				out = append(out, r)
			}
		}
	}
	return out
}

// fold makes characters equal that differ in case alone.
func fold(s string) string {
	return strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, s)
}

// mark marks each occurrence of a word, those that overlap too. So neither the order of
// words nor what becomes neighbours without one matters.
func mark(s, word []rune, easy []bool) {
	for i := 0; i+len(word) <= len(s); i++ {
		if slices.Equal(s[i:i+len(word)], word) {
			markAll(easy[i : i+len(word)])
		}
	}
}

func markAll(easy []bool) {
	for i := range easy {
		easy[i] = true
	}
}

// tooFew reports whether something is marked and little is not.
func tooFew(easy []bool) bool {
	rest := 0
	for _, e := range easy {
		if !e {
			rest++
		}
	}
	return rest < len(easy) && rest < enough
}
