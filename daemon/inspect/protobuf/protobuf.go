// Package protobuf shows messages of gRPC as text: with the names of a set of descriptors where
// there is one, else by the numbers of their fields. The text is that of protobuf's text format, as
// far as what a field holds is known; where it isn't, it is guessed by what fits: text, a message,
// else bytes. Strings are quoted, so that no control character of others is in it.
//
// What lives here: the text of a message and of google.rpc.Status, and descriptors. What may not:
// how messages are told apart in a stream (daemon/inspect/frame). daemon/inspect and daemon/rest
// import it.
package protobuf

import (
	"encoding/base64"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/local"
)

// Schema is a set of descriptors. A nil one knows no message. It is safe for concurrent use.
type Schema struct{ files *protoregistry.Files }

// ParseSchema reads a google.protobuf.FileDescriptorSet, of local.MaxDescriptors bytes at most.
// Imports that it lacks are left out, with what uses them.
func ParseSchema(set []byte) (*Schema, error) {
	const hint = "make the set with protoc --include_imports --descriptor_set_out=FILE, or buf build -o FILE"
	if len(set) > local.MaxDescriptors {
		return nil, mezu.Invalid("descriptors", "the set has %d bytes, %d at most", len(set), local.MaxDescriptors)
	}
	var parsed descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(set, &parsed); err != nil || len(parsed.File) == 0 {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "descriptors", Detail: "it is no set of file descriptors", Hint: hint, Cause: err}
	}
	files, err := protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(&parsed)
	if err != nil {
		return nil, &mezu.Error{Code: mezu.CodeInvalid, Field: "descriptors", Detail: "the set contradicts itself", Hint: hint, Cause: err}
	}
	return &Schema{files: files}, nil
}

// messageOf is the type of what a call sends or answers, nil if it is unknown.
func (s *Schema) messageOf(path string, out bool) protoreflect.MessageDescriptor {
	if s == nil {
		return nil
	}
	service, method, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if !ok {
		return nil
	}
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil
	}
	found, ok := d.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil
	}
	m := found.Methods().ByName(protoreflect.Name(method))
	switch {
	case m == nil:
		return nil
	case out:
		return known(m.Output())
	}
	return known(m.Input())
}

// message is the type of a name, nil if it is unknown.
func (s *Schema) message(name string) protoreflect.MessageDescriptor {
	if s == nil {
		return nil
	}
	d, err := s.files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil
	}
	m, _ := d.(protoreflect.MessageDescriptor)
	return m
}

// known is nil for a type of a file that the set lacks.
func known(m protoreflect.MessageDescriptor) protoreflect.MessageDescriptor {
	if m == nil || m.IsPlaceholder() {
		return nil
	}
	return m
}

// Message is a message as text for people, at most max bytes of it, and the name of its type if
// that is known. path is that of the call, /package.Service/Method; out says that it is an answer.
// The text of an unknown message has the numbers of its fields. A message that is cut is shown as
// far as it is there.
func (s *Schema) Message(path string, out bool, message []byte, max int) (text []byte, name string) {
	m := s.messageOf(path, out)
	if m != nil {
		name = string(m.FullName())
	}
	w := writer{schema: s, most: max}
	w.message(message, m, 0)
	return w.out, name
}

// maxStatus bounds what is shown of the details of a status, which come in a field of a head.
const maxStatus = 16 << 10

// Status is a google.rpc.Status, the value of grpc-status-details-bin as it was sent, as text. It
// is empty if that is none.
func (s *Schema) Status(details string) string {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(details), "="))
	if err != nil || !isMessage(raw) {
		return ""
	}
	w := writer{schema: s, most: maxStatus}
	w.message(raw, status(), 0)
	return string(w.out)
}
