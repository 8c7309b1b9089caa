package openapi

import (
	_ "embed" // what the comments of the types say
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"strings"
)

// comments are what the comments of Go types say, by nameOf the type. "make reference" writes
// them into comments.json, from the sources: a program has no comments.
type comments map[string]comment

// comment is that of one type.
type comment struct {
	About string `json:"about"`
	// Fields are those of a struct by their JSON names.
	Fields map[string]string `json:"fields,omitempty"`
	// Values are the constants of the type, in the order in which they are declared.
	Values []value `json:"values,omitempty"`
}

// value is one constant.
type value struct {
	Value string `json:"value"`
	About string `json:"about,omitempty"`
}

//go:embed comments.json
var commentsFile []byte

func readComments() (comments, error) {
	out := comments{}
	if err := json.Unmarshal(commentsFile, &out); err != nil {
		return nil, fmt.Errorf("reading the comments of the API's types: %w", err)
	}
	return out, nil
}

// of gives the comment of a type.
func (c comments) of(t reflect.Type) comment { return c[nameOf(t)] }

// nameOf is a type's name as another package writes it.
func nameOf(t reflect.Type) string {
	name, _, _ := strings.Cut(t.Name(), "[")
	return path.Base(t.PkgPath()) + "." + name
}

// complete is what is said of a type and of each of its constants.
func (c comment) complete() string {
	out := c.About
	for _, v := range c.Values {
		if v.About != "" {
			out += " `" + v.Value + "`: " + v.About
		}
	}
	return out
}
