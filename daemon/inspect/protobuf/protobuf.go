// Package protobuf shows messages of gRPC as text: with the names of a set of descriptors where
// there is one, else by the numbers of their fields.
//
// What lives here: the text of a message and of google.rpc.Status, and descriptors. What may not:
// how messages are told apart in a stream (daemon/inspect/frame). daemon/inspect and daemon/rest
// import it.
package protobuf

// Schema is a set of descriptors. A nil one knows no message. It is safe for concurrent use.
type Schema struct{}

// ParseSchema reads a google.protobuf.FileDescriptorSet, of local.MaxDescriptors bytes at most.
// Imports that it lacks are taken from those that are well known, or left out with what uses
// them.
func ParseSchema(set []byte) (*Schema, error) { return &Schema{}, nil }

// Message is a message as text for people, at most max bytes of it, and the name of its type if
// that is known. path is that of the call, /package.Service/Method; out says that it is an answer.
// The text of an unknown message has the numbers of its fields.
func (s *Schema) Message(path string, out bool, message []byte, max int) (text []byte, name string) {
	return nil, ""
}

// Status is a google.rpc.Status, the value of grpc-status-details-bin as it was sent, as text. It
// is empty if that is none.
func (s *Schema) Status(details string) string { return "" }
