package argv

import (
	"maps"
	"slices"
	"strings"
)

// otherNames are fields whose flag has another name.
func otherNames() map[string]string {
	return map[string]string{"organization": "org", "name": "rename"}
}

// Written is the flag, as it was typed, that set the field which an error is about; "" if none of
// those on the line did. A flag of the command itself that is named as the field is, and is missing,
// is meant, too. The flag of request_headers.set is --set-request-header, that of
// allow_ips[0] is --allow-ip, and that of rate_limit.requests is --rate-limit: it has all its
// words from the field, the first among them, and more of them than any other.
func (l *Line) Written(field string) string {
	if i := strings.LastIndex(field, ": "); i >= 0 {
		field = field[i+2:] // what is before it says of which of several
	}
	if written, ok := l.written[otherNames()[field]]; ok {
		return written
	}
	of := wordsOf(field)
	best, most := "", 0
	if len(l.Path) > 0 {
		for _, f := range l.Command().Flags {
			name := f.Names()[0]
			if _, typed := l.written[name]; !typed && slices.Equal(wordsOf(name), of) {
				return "--" + name
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.written)) {
		words := wordsOf(name)
		if len(of) > 0 && len(words) > most && slices.Contains(words, of[0]) && !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(of, w) }) {
			best, most = l.written[name], len(words)
		}
	}
	return best
}

// wordsOf are the words of a field or a flag, each in the singular and without indexes.
func wordsOf(name string) (out []string) {
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return strings.ContainsRune("._-[]", r) }) {
		if strings.Trim(word, "0123456789") != "" {
			out = append(out, strings.TrimSuffix(word, "s"))
		}
	}
	return out
}
