package pages

import (
	"strconv"
	"strings"
)

// Languages.
const (
	english language = "en"
	german  language = "de"
	// pseudo is English in disguise, which shows what is not of the catalogue and what
	// has no room for longer words.
	pseudo language = "qps"
)

// acceptLength and acceptRanges bound what is read of an Accept-Language field. Browsers
// send a few ranges.
const (
	acceptLength = 1024
	acceptRanges = 32
)

// Language chooses one of ours by an Accept-Language field.
func Language(accept string) string {
	if len(accept) > acceptLength {
		accept = accept[:acceptLength]
	}
	best, weight := english, 0.0
	for _, one := range strings.SplitN(accept, ",", acceptRanges) {
		tag, params, _ := strings.Cut(one, ";")
		tag = strings.ToLower(strings.TrimSpace(tag))
		q := 1.0
		if s, ok := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q="); ok {
			var err error
			if q, err = strconv.ParseFloat(s, 64); err != nil || !(q <= 1) {
				continue
			}
		}
		primary, _, _ := strings.Cut(tag, "-")
		l := language(primary)
		switch {
		case tag == "qps-ploc":
			l = pseudo
		case l != english && l != german:
			continue
		}
		if q > weight {
			best, weight = l, q
		}
	}
	return string(best)
}

// language is the view's.
func (v View) language() language {
	switch l := language(v.Language); l {
	case german, pseudo:
		return l
	default:
		return english
	}
}

// tag is the language for the lang attribute: the disguise is read aloud as English.
func (l language) tag() string {
	if l == german {
		return "de"
	}
	return "en"
}

// accents are letters that read like those of ASCII.
var accents = strings.NewReplacer(
	"a", "á", "e", "ë", "i", "ï", "o", "ö", "u", "ü", "y", "ý", "c", "ç", "n", "ñ", "s", "š",
	"A", "Å", "E", "É", "I", "Î", "O", "Ø", "U", "Ü", "C", "Ç", "N", "Ñ", "S", "Š",
)

// disguise makes a text of the pseudo-language: in brackets, so that one that is cut is
// seen, and two fifths longer than it was. Placeholders stay.
func disguise(s string) string {
	var b strings.Builder
	letters := 0
	for i, between := range strings.Split(s, "{") {
		name, words, ok := strings.Cut(between, "}")
		if i == 0 || !ok {
			name, words = "", between
		} else {
			name = "{" + name + "}"
		}
		b.WriteString(name + accents.Replace(words))
		letters += len(words)
	}
	return "[" + b.String() + strings.Repeat("~", letters*2/5) + "]"
}
