package h2

import "strconv"

// What is sent is compressed by the static table alone. Because no head changes a table, each can
// be put together by its own goroutine, and frames of different streams can go out in any order.
// Huffman's code would save a fifth of a head, and cost more time than the rest of it.

// noTable says that the dynamic table is empty and stays so (RFC 7541, 6.3). It begins the first
// section after a peer has asked for a smaller table than HTTP/2 has at first.
const noTable = 0x20

// staticNames are the fields of the static table (RFC 7541, appendix A) that have a name alone.
var staticNames = map[string]uint8{
	":authority": 1, ":method": 2, ":path": 4, ":scheme": 6, ":status": 8,
	"accept-charset": 15, "accept-encoding": 16, "accept-language": 17, "accept-ranges": 18, "accept": 19,
	"access-control-allow-origin": 20, "age": 21, "allow": 22, "authorization": 23, "cache-control": 24,
	"content-disposition": 25, "content-encoding": 26, "content-language": 27, "content-length": 28, "content-location": 29,
	"content-range": 30, "content-type": 31, "cookie": 32, "date": 33, "etag": 34, "expect": 35, "expires": 36, "from": 37,
	"host": 38, "if-match": 39, "if-modified-since": 40, "if-none-match": 41, "if-range": 42, "if-unmodified-since": 43,
	"last-modified": 44, "link": 45, "location": 46, "max-forwards": 47, "proxy-authenticate": 48, "proxy-authorization": 49,
	"range": 50, "referer": 51, "refresh": 52, "retry-after": 53, "server": 54, "set-cookie": 55,
	"strict-transport-security": 56, "transfer-encoding": 57, "user-agent": 58, "vary": 59, "via": 60, "www-authenticate": 61,
}

// staticStatus are those that are whole in it.
var staticStatus = map[int]uint8{200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}

// Block is a section of fields on its way out. If zero, it is empty.
type Block struct {
	b     []byte
	final bool // it is the head of a response that is no interim one
}

// maxKeptBlock is how much memory a Block keeps for the next section.
const maxKeptBlock = 4 << 10

// Reset empties it.
func (k *Block) Reset() {
	k.final = false
	if k.b = k.b[:0]; cap(k.b) > maxKeptBlock {
		k.b = nil
	}
}

// Status begins the head of a response.
func (k *Block) Status(code int) {
	k.final = code >= 200
	if i, ok := staticStatus[code]; ok {
		k.b = append(k.b, 0x80|i)
		return
	}
	k.b = append(k.b, 8, 3, byte('0'+code/100), byte('0'+code/10%10), byte('0'+code%10))
}

// Field adds a field. Its name is written in lower case.
func (k *Block) Field(name, value []byte) {
	k.name(name)
	k.b = append(appendInt(k.b, 7, 0, uint64(len(value))), value...)
}

// FieldText is Field for texts. The name is in lower case already.
func (k *Block) FieldText(name, value string) {
	if i, ok := staticNames[name]; ok {
		k.b = appendInt(k.b, 4, 0, uint64(i))
	} else {
		k.b = append(k.b, 0)
		k.b = appendString(k.b, name)
	}
	k.b = appendString(k.b, value)
}

var nameLength = []byte("content-length")

// Length adds Content-Length.
func (k *Block) Length(n int64) {
	var digits [20]byte
	k.Field(nameLength, strconv.AppendInt(digits[:0], n, 10))
}

// name appends a name in lower case.
func (k *Block) name(name []byte) {
	var room [48]byte
	lower := room[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		lower = append(lower, c)
	}
	if i, ok := staticNames[string(lower)]; ok {
		k.b = appendInt(k.b, 4, 0, uint64(i))
		return
	}
	k.b = append(k.b, 0)
	k.b = append(appendInt(k.b, 7, 0, uint64(len(lower))), lower...)
}

// appendString appends a string literal (RFC 7541, 5.2).
func appendString(dst []byte, s string) []byte {
	return append(appendInt(dst, 7, 0, uint64(len(s))), s...)
}

// appendInt appends an integer with a prefix of some bits (RFC 7541, 5.1).
func appendInt(dst []byte, bits uint, first byte, n uint64) []byte {
	most := uint64(1)<<bits - 1
	if n < most {
		return append(dst, first|byte(n))
	}
	dst = append(dst, first|byte(most))
	for n -= most; n >= 0x80; n >>= 7 {
		dst = append(dst, 0x80|byte(n))
	}
	return append(dst, byte(n))
}
