package rest

import (
	"net"
	"net/http"
	"time"
)

// Hurry shortens the deadlines of requests.
func (s *Server) Hurry(header, body time.Duration) { s.header, s.body = header, body }

// Places of connections that are turned away with an answer.
const MaxTurnedAway = maxTurnedAway

// Admitted gives a request the mark of a connection that is served.
func Admitted(r *http.Request) *http.Request {
	var none net.Conn
	return r.WithContext(withClient(r.Context(), &client{Conn: none, admitted: true}))
}
