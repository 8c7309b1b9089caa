package waf

import (
	"encoding/json"
	"strings"
)

// graphQL takes a GraphQL document apart (GraphQL specification, October 2021, 2.1), and reports
// whether a JSON value is one. Its words and signs look like attacks, and can't be any: what it
// carries is in its strings and comments, which are judged, and in variables, which are other values.
func (p *parsed) graphQL(name, text string) bool {
	last := strings.LastIndexByte(name, '.')
	if name[last+1:] != "query" || strings.Count(name, ".") > 2 {
		return false
	}
	carried, ok := graphQLTexts(text)
	if !ok {
		return false
	}
	for _, c := range carried {
		p.add(name, c)
	}
	return true
}

// graphQLTexts are the strings and comments of a GraphQL document. ok is false if the text is none.
func graphQLTexts(s string) (texts []string, ok bool) {
	first := strings.TrimLeft(s, " \t\r\n")
	if i := strings.IndexAny(first, " \t\r\n{($@"); i >= 0 {
		first = first[:max(i, 1)]
	}
	switch first {
	case "{", "query", "mutation", "subscription", "fragment":
	default:
		return nil, false
	}
	depth, blocks := 0, 0
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"':
			text, n := graphQLString(s[i:])
			if n == 0 {
				return nil, false
			}
			texts = append(texts, text)
			i += n
			continue
		case c == '#':
			end := strings.IndexAny(s[i:], "\r\n")
			if end < 0 {
				end = len(s) - i
			}
			texts = append(texts, s[i:i+end])
			i += end
			continue
		case c == '{':
			depth++
			blocks++
		case c == '}':
			if depth--; depth < 0 {
				return nil, false
			}
		case c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z':
		case strings.IndexByte(" \t\r\n,!$&().:=@[]|-+", c) >= 0:
		default:
			return nil, false
		}
		i++
	}
	return texts, depth == 0 && blocks > 0 && strings.HasSuffix(strings.TrimRight(s, " \t\r\n"), "}")
}

// graphQLString reads the string at the beginning of a text; n is its length, zero if it has no end.
func graphQLString(s string) (text string, n int) {
	if rest, is := strings.CutPrefix(s, `"""`); is {
		end := strings.Index(rest, `"""`)
		if end < 0 {
			return "", 0
		}
		return rest[:end], end + 6
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n', '\r':
			return "", 0
		case '"':
			if json.Unmarshal([]byte(s[:i+1]), &text) != nil {
				return "", 0
			}
			return text, i + 1
		}
	}
	return "", 0
}
