package relay

import "strings"

// Edits is a change to the fields of a message.
type Edits interface {
	// Takes reports whether fields of this name are taken away.
	Takes(name []byte) bool
	// Each calls add for each field that is there afterwards.
	Each(add func(name, value []byte))
}

// Without takes fields away, in place.
func Without(fields []Field, e Edits) []Field {
	left := fields[:0]
	for i := range fields {
		if !e.Takes(fields[i].Name) {
			left = append(left, fields[i])
		}
	}
	return left
}

// Edit takes fields away, in place, and sets those that the edits set. None of them may be one that
// kindOf knows.
func Edit(fields []Field, e Edits) []Field {
	fields = Without(fields, e)
	e.Each(func(name, value []byte) { fields = append(fields, Field{Name: name, Value: value}) })
	return fields
}

// Edit changes the fields of a request, and lets those trailers not be announced that are taken away.
func (r *Request) Edit(e Edits) {
	r.Fields = Edit(r.Fields, e)
	if r.Announced == "" {
		return
	}
	var left []string
	r.AnnouncedNames(func(name string) {
		if !e.Takes([]byte(name)) {
			left = append(left, name)
		}
	})
	r.Announced = strings.Join(left, ", ")
}
