package mezu

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// UnmarshalJSON reads a bundle and notes the fields that this build does not know; see
// Bundle.Unknown. A bundle without any costs no more than plain decoding.
func (b *Bundle) UnmarshalJSON(data []byte) error {
	type bare Bundle // without this method
	var known bare
	if strictly(data, &known) == nil {
		*b = Bundle(known)
		return nil
	}
	known = bare{}
	if err := json.Unmarshal(data, &known); err != nil {
		return err
	}
	*b = Bundle(known)
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	const routes = "routes"
	raw := fields[routes]
	delete(fields, routes)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if strings.EqualFold(name, routes) || !knows[bare](name, fields[name]) {
			b.unknown = name
			return nil
		}
	}
	var each []json.RawMessage
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &each); err != nil {
			return err
		}
	}
	for i := range each {
		if name := unknownField(each[i]); name != "" {
			if b.unknownOf == nil {
				b.unknownOf = map[int]string{}
			}
			b.unknownOf[i] = name
		}
	}
	return nil
}

// unknownField names a field of a route that this build does not know, or a field that has
// one inside.
func unknownField(route json.RawMessage) string {
	if strictly(route, new(Route)) == nil {
		return ""
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(route, &fields) == nil {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if !knows[Route](name, fields[name]) {
				return name
			}
		}
	}
	return "a field" // each is known by itself, but not all together
}

// knows reports whether T has this field, with everything in its value.
func knows[T any](name string, value json.RawMessage) bool {
	one, err := json.Marshal(map[string]json.RawMessage{name: value})
	return err == nil && strictly(one, new(T)) == nil
}

// strictly decodes JSON that has no unknown field at any depth.
func strictly(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(into)
}
