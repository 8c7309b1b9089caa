package protobuf

import (
	"bytes"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/anypb" // registers the type of the details
)

const (
	// maxDepth is how deep messages are shown in one another. Protobuf's own parsers refuse more
	// than 100, and nobody reads that.
	maxDepth = 32
	// maxBytes is how much is shown of a field of bytes.
	maxBytes = 256
	// more is at the end of what is cut.
	more = "…\n"
)

// writer writes the text of a message.
type writer struct {
	schema *Schema
	out    []byte
	most   int
	full   bool
}

// line writes a line at a depth, as a whole or not at all.
func (w *writer) line(depth int, parts ...string) {
	size := 2*depth + 1
	for _, p := range parts {
		size += len(p)
	}
	if w.full || len(w.out)+size+len(more) > w.most {
		if !w.full && len(w.out)+len(more) <= w.most {
			w.out = append(w.out, more...)
		}
		w.full = true
		return
	}
	for range depth {
		w.out = append(w.out, "  "...)
	}
	for _, p := range parts {
		w.out = append(w.out, p...)
	}
	w.out = append(w.out, '\n')
}

// message writes the fields of a message, by their names as far as m knows them.
func (w *writer) message(b []byte, m protoreflect.MessageDescriptor, depth int) {
	for len(b) > 0 && !w.full {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			w.line(depth, "… (", strconv.Itoa(len(b)), " bytes that are no field, or cut)")
			return
		}
		size := protowire.ConsumeFieldValue(number, kind, b[n:])
		if size < 0 {
			w.line(depth, strconv.Itoa(int(number)), ": … (cut, or broken)")
			w.cut(b[n:], kind, m, number, depth)
			return
		}
		w.field(number, kind, b[n:n+size], fieldOf(m, number), m, depth)
		b = b[n+size:]
	}
}

// cut writes what there is of a field that is cut.
func (w *writer) cut(b []byte, kind protowire.Type, m protoreflect.MessageDescriptor, number protowire.Number, depth int) {
	if kind != protowire.BytesType {
		return
	}
	if _, n := protowire.ConsumeVarint(b); n > 0 {
		w.content(strconv.Itoa(int(number)), b[n:], fieldOf(m, number), m, depth)
	}
}

func fieldOf(m protoreflect.MessageDescriptor, number protowire.Number) protoreflect.FieldDescriptor {
	if m == nil {
		return nil
	}
	return m.Fields().ByNumber(number)
}

// field writes one field.
func (w *writer) field(number protowire.Number, kind protowire.Type, value []byte, d protoreflect.FieldDescriptor, m protoreflect.MessageDescriptor, depth int) {
	name := strconv.Itoa(int(number))
	if d != nil {
		name = string(d.Name())
	}
	switch kind {
	case protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		w.line(depth, name, ": ", varint(v, d))
	case protowire.Fixed32Type:
		v, _ := protowire.ConsumeFixed32(value)
		w.line(depth, name, ": ", fixed32(v, d))
	case protowire.Fixed64Type:
		v, _ := protowire.ConsumeFixed64(value)
		w.line(depth, name, ": ", fixed64(v, d))
	case protowire.BytesType:
		content, _ := protowire.ConsumeBytes(value)
		w.content(name, content, d, m, depth)
	case protowire.StartGroupType:
		content, _ := protowire.ConsumeGroup(number, value)
		w.nested(name, content, inner(d), depth)
	}
}

// inner is the type of a field that holds messages.
func inner(d protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if d == nil {
		return nil
	}
	return known(d.Message())
}

// nested writes a message in a message.
func (w *writer) nested(name string, content []byte, m protoreflect.MessageDescriptor, depth int) {
	if len(content) == 0 {
		w.line(depth, name, ": {}")
		return
	}
	if depth >= maxDepth {
		w.line(depth, name, ": { … }")
		return
	}
	w.line(depth, name, ": {")
	w.message(content, m, depth+1)
	w.line(depth, "}")
}

// content writes a field that has a length.
func (w *writer) content(name string, content []byte, d protoreflect.FieldDescriptor, m protoreflect.MessageDescriptor, depth int) {
	switch {
	case d == nil:
		w.guess(name, content, depth)
	case d.Kind() == protoreflect.MessageKind || d.Kind() == protoreflect.GroupKind:
		w.nested(name, content, inner(d), depth)
	case d.Kind() == protoreflect.StringKind:
		w.line(depth, name, ": ", quoted(content))
	case d.Kind() == protoreflect.BytesKind:
		if m.FullName() == "google.protobuf.Any" && d.Number() == 2 {
			w.any(name, content, depth)
			return
		}
		w.line(depth, name, ": ", bytesText(content))
	default:
		w.packed(name, content, d, depth)
	}
}

// any writes the value of a google.protobuf.Any, whose type stands in the line before.
func (w *writer) any(name string, content []byte, depth int) {
	before := strings.TrimSuffix(string(w.out[bytes.LastIndexByte(bytes.TrimSuffix(w.out, []byte("\n")), '\n')+1:]), "\n")
	url, ok := strings.CutPrefix(strings.TrimSpace(before), `type_url: "`)
	if !ok {
		w.guess(name, content, depth)
		return
	}
	url = strings.TrimSuffix(url, `"`)
	m := w.schema.message(url[strings.LastIndexByte(url, '/')+1:])
	if m == nil && !isMessage(content) {
		w.line(depth, name, ": ", bytesText(content))
		return
	}
	w.nested(name, content, m, depth)
}

// guess writes a field with a length of which nothing is known: text if it reads as such, a message
// if it has the form of one, else bytes.
func (w *writer) guess(name string, content []byte, depth int) {
	switch {
	case isText(content):
		w.line(depth, name, ": ", quoted(content))
	case depth < maxDepth && isMessage(content):
		w.nested(name, content, nil, depth)
	default:
		w.line(depth, name, ": ", bytesText(content))
	}
}

// isText reports whether bytes read as text.
func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t' {
			return false
		}
	}
	return true
}

// isMessage reports whether bytes have the form of a message.
func isMessage(b []byte) bool {
	for len(b) > 0 {
		_, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return false
		}
		b = b[n:]
	}
	return true
}

// quoted is text in quotes, on one line.
func quoted(b []byte) string { return strconv.Quote(string(b)) }

// bytesText is text in quotes if it reads as such, else hexadecimal digits.
func bytesText(b []byte) string {
	if isText(b) {
		return quoted(b)
	}
	if len(b) > maxBytes {
		return "0x" + hex.EncodeToString(b[:maxBytes]) + "… (" + strconv.Itoa(len(b)) + " bytes)"
	}
	return "0x" + hex.EncodeToString(b)
}

// packed writes the values of a packed list.
func (w *writer) packed(name string, content []byte, d protoreflect.FieldDescriptor, depth int) {
	var list []string
	rest := content
	size := 0
	for len(rest) > 0 && size < w.most {
		var n int
		var text string
		switch d.Kind() {
		case protoreflect.Fixed32Kind, protoreflect.Sfixed32Kind, protoreflect.FloatKind:
			var v uint32
			v, n = protowire.ConsumeFixed32(rest)
			text = fixed32(v, d)
		case protoreflect.Fixed64Kind, protoreflect.Sfixed64Kind, protoreflect.DoubleKind:
			var v uint64
			v, n = protowire.ConsumeFixed64(rest)
			text = fixed64(v, d)
		default:
			var v uint64
			v, n = protowire.ConsumeVarint(rest)
			text = varint(v, d)
		}
		if n < 0 {
			w.line(depth, name, ": ", bytesText(content))
			return
		}
		list = append(list, text)
		size += len(text) + len(", ")
		rest = rest[n:]
	}
	w.line(depth, name, ": [", strings.Join(list, ", "), "]")
}

// varint is the text of a number.
func varint(v uint64, d protoreflect.FieldDescriptor) string {
	if d == nil {
		return strconv.FormatUint(v, 10)
	}
	switch d.Kind() {
	case protoreflect.BoolKind:
		return strconv.FormatBool(v != 0)
	case protoreflect.Int32Kind:
		return strconv.Itoa(int(int32(v)))
	case protoreflect.Int64Kind:
		return strconv.FormatInt(int64(v), 10)
	case protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return strconv.FormatInt(protowire.DecodeZigZag(v), 10)
	case protoreflect.EnumKind:
		if e := d.Enum(); !e.IsPlaceholder() {
			if value := e.Values().ByNumber(protoreflect.EnumNumber(int32(v))); value != nil {
				return string(value.Name())
			}
		}
		return strconv.Itoa(int(int32(v)))
	}
	return strconv.FormatUint(v, 10)
}

// fixed32 is the text of a number of four bytes.
func fixed32(v uint32, d protoreflect.FieldDescriptor) string {
	if d != nil {
		switch d.Kind() {
		case protoreflect.FloatKind:
			return strconv.FormatFloat(float64(math.Float32frombits(v)), 'g', -1, 32)
		case protoreflect.Sfixed32Kind:
			return strconv.Itoa(int(int32(v)))
		case protoreflect.Fixed32Kind:
			return strconv.FormatUint(uint64(v), 10)
		}
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}

// fixed64 is the text of a number of eight bytes.
func fixed64(v uint64, d protoreflect.FieldDescriptor) string {
	if d != nil {
		switch d.Kind() {
		case protoreflect.DoubleKind:
			return strconv.FormatFloat(math.Float64frombits(v), 'g', -1, 64)
		case protoreflect.Sfixed64Kind:
			return strconv.FormatInt(int64(v), 10)
		case protoreflect.Fixed64Kind:
			return strconv.FormatUint(v, 10)
		}
	}
	return "0x" + strconv.FormatUint(v, 16)
}

// status is the type google.rpc.Status, whose code has the names of gRPC.
func status() protoreflect.MessageDescriptor { return statusFile.Messages().ByName("Status") }

// statusFile is google/rpc/status.proto with what it needs.
var statusFile = func() protoreflect.FileDescriptor {
	field := func(name string, number int32, kind descriptorpb.FieldDescriptorProto_Type, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: proto.String(name), Number: proto.Int32(number), Type: kind.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if of != "" {
			f.TypeName = proto.String(of)
		}
		return f
	}
	codes := &descriptorpb.EnumDescriptorProto{Name: proto.String("Code")}
	for i, name := range []string{"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
		"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"} {
		codes.Value = append(codes.Value, &descriptorpb.EnumValueDescriptorProto{Name: proto.String(name), Number: proto.Int32(int32(i))})
	}
	const text, number, message = descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_ENUM, descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	details := field("details", 3, message, ".google.protobuf.Any")
	details.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("google/rpc/status.proto"), Package: proto.String("google.rpc"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/any.proto"}, EnumType: []*descriptorpb.EnumDescriptorProto{codes},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Status"), Field: []*descriptorpb.FieldDescriptorProto{
			field("code", 1, number, ".google.rpc.Code"), field("message", 2, text, ""), details}}}}
	fd, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		panic(err) // a mistake above
	}
	return fd
}()
