package web

import (
	"bytes"
	"errors"
	"mime"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// maxBody is the size of the largest body that is read, in bytes. The largest valid command is under 10 KiB.
const maxBody = 64 << 10

var readers = sync.Pool{New: func() any { return new(reader) }}

// readBody reads the request's body into v. nil = it was read completely.
func readBody(w http.ResponseWriter, r *http.Request, s *structShape, v reflect.Value) *Problem {
	if p := checkMedia(w, r.Header); p != nil {
		return p
	}
	rd := readers.Get().(*reader)
	defer readers.Put(rd)
	if p := rd.receive(w, r); p != nil {
		return p
	}
	return rd.decode(s, v)
}

// receive fills r.buf. It grows with what has arrived, not with what was announced, so that a client that announces
// much and sends little holds little.
func (r *reader) receive(w http.ResponseWriter, from *http.Request) *Problem {
	r.buf.Reset()
	if from.Body == nil {
		return nil
	}
	if from.ContentLength > maxBody {
		return tooLarge(w)
	}
	if from.ContentLength > 0 {
		r.buf.Grow(int(min(from.ContentLength, 4<<10)) + bytes.MinRead)
	}
	r.limit.R, r.limit.N = from.Body, maxBody+1
	_, err := r.buf.ReadFrom(&r.limit)
	r.limit.R = nil
	if r.buf.Len() > maxBody {
		return tooLarge(w)
	}
	if err == nil {
		return nil
	}
	// What is left of the body, if anything, cannot be told from the next request.
	w.Header().Set("Connection", "close")
	var timeout net.Error
	switch { // in this order: net/http cancels the request's context for either
	case errors.As(err, &timeout) && timeout.Timeout():
		return &Problem{Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time; send the request again."}
	case from.Context().Err() != nil:
		return &Problem{Status: statusClientGone, Detail: "The request was given up."}
	}
	return &Problem{Status: http.StatusBadRequest, Detail: "The body ended before it was complete; send the request again."}
}

// tooLarge closes the connection behind the answer: otherwise net/http would read up to 256 KiB of what is left first. It
// still reads them afterwards, so that a client in the middle of sending sees the answer and not a reset; that gets a second.
func tooLarge(w http.ResponseWriter) *Problem {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second)) // where there is no connection there is nothing to bound
	return &Problem{Status: http.StatusRequestEntityTooLarge, Detail: "The body is larger than 64 KiB (65,536 bytes); send less."}
}

// checkMedia lets only application/json in UTF-8 pass, not encoded. Types that end in +json are other formats that happen
// to be JSON (RFC 6839 section 3.1 promises no more), and application/problem+json is among them: they are refused.
func checkMedia(w http.ResponseWriter, h http.Header) *Problem {
	for _, codings := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(codings, ",") {
			if c := strings.TrimSpace(coding); c != "" && !strings.EqualFold(c, "identity") {
				w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 15.5.16
				return &Problem{Status: http.StatusUnsupportedMediaType, Detail: "The body is compressed or encoded; send it without Content-Encoding."}
			}
		}
	}
	types := h["Content-Type"]
	if len(types) == 1 && (types[0] == "application/json" || utf8JSON(types[0])) {
		return nil
	}
	w.Header().Set("Accept", "application/json") // RFC 9110 section 12.5.1
	return &Problem{Status: http.StatusUnsupportedMediaType,
		Detail: "Send the header Content-Type: application/json, once; the only charset is utf-8."}
}

func utf8JSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
}
