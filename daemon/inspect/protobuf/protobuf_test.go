package protobuf_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/mezusphere/mezu/daemon/inspect/protobuf"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/visible"
)

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	out, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// set are the descriptors of gRPC's health service, of descriptors, and others.
func set(t testing.TB, extra ...*descriptorpb.FileDescriptorProto) []byte {
	t.Helper()
	s := &descriptorpb.FileDescriptorSet{File: extra}
	for _, fd := range []protoreflect.FileDescriptor{grpc_health_v1.File_grpc_health_v1_health_proto, descriptorpb.File_google_protobuf_descriptor_proto} {
		s.File = append(s.File, protodesc.ToFileDescriptorProto(fd))
	}
	return marshal(t, s)
}

func TestMessage_Numbers(t *testing.T) {
	var none *protobuf.Schema
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 150)
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "text \"é\"\x1b")
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "text \"é\"\n")
	b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), []byte{8, 1, 0x12, 0})
	b = protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), []byte{0xff, 0})
	b = protowire.AppendFixed32(protowire.AppendTag(b, 5, protowire.Fixed32Type), 255)
	b = protowire.AppendFixed64(protowire.AppendTag(b, 6, protowire.Fixed64Type), 255)
	b = protowire.AppendGroup(protowire.AppendTag(b, 7, protowire.StartGroupType), 7, []byte{8, 1})
	const want = `1: 150
2: 0x746578742022c3a9221b
2: "text \"é\"\n"
3: {
  1: 1
  2: ""
}
4: 0xff00
5: 0xff
6: 0xff
7: {
  1: 1
}
`
	if got, name := none.Message("/a.B/C", false, b, 1<<20); string(got) != want || name != "" {
		t.Errorf("%s", got)
	}
	if got, _ := none.Message("", false, nil, 100); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
	if got, _ := none.Message("", false, b[:6], 100); string(got) != "1: 150\n2: … (cut, or broken)\n2: \"t\"\n" {
		t.Errorf("cut: %q", got)
	}
	if got, _ := none.Message("", false, []byte{0xff}, 100); !strings.Contains(string(got), "no field") {
		t.Errorf("of none: %q", got)
	}
}

func TestMessage_Names(t *testing.T) {
	service := &descriptorpb.FileDescriptorProto{Name: proto.String("a.proto"), Package: proto.String("shop.v1"), Syntax: proto.String("proto3"),
		Dependency: []string{"google/protobuf/descriptor.proto", "absent.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("Absent"), Field: []*descriptorpb.FieldDescriptorProto{
			{Name: proto.String("of"), Number: proto.Int32(1), Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: proto.String(".absent.Type"), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()},
			{Name: proto.String("list"), Number: proto.Int32(2), Type: descriptorpb.FieldDescriptorProto_TYPE_SINT32.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()},
			{Name: proto.String("ratio"), Number: proto.Int32(3), Type: descriptorpb.FieldDescriptorProto_TYPE_DOUBLE.Enum(), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()},
		}}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Orders"), Method: []*descriptorpb.MethodDescriptorProto{
			{Name: proto.String("Describe"), InputType: proto.String(".google.protobuf.FileDescriptorProto"), OutputType: proto.String(".shop.v1.Absent")},
			{Name: proto.String("Other"), InputType: proto.String(".absent.Type"), OutputType: proto.String(".absent.Type")},
		}}},
	}
	s, err := protobuf.ParseSchema(set(t, service))
	if err != nil {
		t.Fatal(err)
	}
	got, name := s.Message("/grpc.health.v1.Health/Check", false, marshal(t, &grpc_health_v1.HealthCheckRequest{Service: "shop"}), 1000)
	if string(got) != "service: \"shop\"\n" || name != "grpc.health.v1.HealthCheckRequest" {
		t.Errorf("%s %s", name, got)
	}
	got, name = s.Message("/grpc.health.v1.Health/Check", true, marshal(t, &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_NOT_SERVING}), 1000)
	if string(got) != "status: NOT_SERVING\n" || name != "grpc.health.v1.HealthCheckResponse" {
		t.Errorf("%s %s", name, got)
	}
	file := &descriptorpb.FileDescriptorProto{Name: proto.String("x.proto"), PublicDependency: []int32{-1}, Options: &descriptorpb.FileOptions{Deprecated: proto.Bool(true)}}
	got, _ = s.Message("/shop.v1.Orders/Describe", false, append(marshal(t, file), 0xf8, 0x3f, 5), 1000)
	if want := "name: \"x.proto\"\noptions: {\n  deprecated: true\n}\npublic_dependency: -1\n1023: 5\n"; string(got) != want {
		t.Errorf("%s", got)
	}
	absent := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte{8, 1})
	absent = protowire.AppendBytes(protowire.AppendTag(absent, 2, protowire.BytesType), []byte{1, 2, 3})
	absent = protowire.AppendFixed64(protowire.AppendTag(absent, 3, protowire.Fixed64Type), 0x3fe0000000000000)
	got, name = s.Message("/shop.v1.Orders/Describe", true, absent, 1000)
	if string(got) != "of: {\n  1: 1\n}\nlist: [-1, 1, -2]\nratio: 0.5\n" || name != "shop.v1.Absent" {
		t.Errorf("%s %s", name, got)
	}
	for _, path := range []string{"/shop.v1.Orders/Other", "/shop.v1.Orders/None", "/shop.v1.Absent/x", "/none.S/x", "", "/", "x"} {
		if got, name := s.Message(path, false, []byte{8, 1}, 1000); string(got) != "1: 1\n" || name != "" {
			t.Errorf("%s: %s %s", path, name, got)
		}
	}
}

func TestParseSchema_Refusals(t *testing.T) {
	for name, b := range map[string][]byte{"nothing": nil, "text": []byte("syntax = \"proto3\";"), "too much": make([]byte, local.MaxDescriptors+1),
		"twice": append(set(t), set(t)...)} {
		if _, err := protobuf.ParseSchema(b); err == nil || !strings.Contains(err.Error(), "descriptors") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatus(t *testing.T) {
	st, err := status.New(codes.Internal, "broken\x1b").WithDetails(wrapperspb.String("why"), &anypb.Any{TypeUrl: "x/y", Value: []byte{0xff}})
	if err != nil {
		t.Fatal(err)
	}
	raw := marshal(t, st.Proto())
	const want = `code: INTERNAL
message: "broken\x1b"
details: {
  type_url: "type.googleapis.com/google.protobuf.StringValue"
  value: {
    1: "why"
  }
}
details: {
  type_url: "type.googleapis.com/google.protobuf.Any"
  value: {
    1: "x/y"
    2: 0xff
  }
}
`
	var none *protobuf.Schema
	for _, text := range []string{base64.RawStdEncoding.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw)} {
		if got := none.Status(text); got != want {
			t.Errorf("%s", got)
		}
	}
	for _, text := range []string{"", "%", "/w"} {
		if got := none.Status(text); got != "" {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// TestMessage_Bounded however deep and long it is.
func TestMessage_Bounded(t *testing.T) {
	var none *protobuf.Schema
	deep := []byte{8, 1}
	for range 5000 {
		deep = protowire.AppendBytes([]byte{10}, deep)
	}
	many := strings.Repeat("\x08\x01", 1<<20)
	for _, b := range []string{string(deep), many, strings.Repeat("\x0b", 1<<16), "\x0a\xff\xff\xff\x7f" + many, string(marshal(t, structpb.NewStringValue(many)))} {
		if got, _ := none.Message("", false, []byte(b), 4096); len(got) > 4096 {
			t.Errorf("%d bytes", len(got))
		}
	}
}

func FuzzMessage(f *testing.F) {
	s, err := protobuf.ParseSchema(set(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{8, 1, 0x12, 2, 8, 1}, []byte(nil))
	f.Add(marshal(f, protodesc.ToFileDescriptorProto(grpc_health_v1.File_grpc_health_v1_health_proto)), set(f))
	f.Fuzz(func(t *testing.T, b, descriptors []byte) {
		for _, schema := range []*protobuf.Schema{nil, s} {
			got, _ := schema.Message("/grpc.health.v1.Health/Check", false, b, 4096)
			if len(got) > 4096 || visible.Text(strings.ReplaceAll(string(got), "\n", "")) != strings.ReplaceAll(string(got), "\n", "") {
				t.Fatalf("%q", got)
			}
			schema.Status(base64.StdEncoding.EncodeToString(b))
		}
		if other, err := protobuf.ParseSchema(descriptors); err == nil {
			other.Message("/grpc.health.v1.Health/Check", true, b, 4096)
		}
	})
}
