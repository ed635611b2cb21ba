package web

import (
	"bytes"
	"errors"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxBody is the size of the largest body that is read, in bytes. The largest valid command is under 10 KiB.
const maxBody = 64 << 10

// readBody reads the request's body. The buffer grows with what arrives, not with the announced length, so that a client
// which announces much and sends little holds little.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, *Problem) {
	if p := checkMedia(w, r.Header); p != nil {
		return nil, p
	}
	if r.Body == nil {
		return nil, nil
	}
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), 4<<10)+bytes.MinRead))
	err := error(&http.MaxBytesError{Limit: maxBody})
	if r.ContentLength <= maxBody {
		_, err = body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	}
	if err == nil {
		return body.Bytes(), nil
	}
	w.Header().Set("Connection", "close") // the rest of the body would be read as the next request
	var timeout net.Error
	switch { // in this order: net/http cancels the request's context for a timeout too
	case errors.As(err, new(*http.MaxBytesError)):
		// net/http reads up to 256 KiB of the rest, so that a client that is still sending gets the answer instead of a reset.
		// Without a connection there is nothing to bound.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
		return nil, &Problem{Status: http.StatusRequestEntityTooLarge,
			Detail: "The body is larger than 64 KiB (65,536 bytes); send less."}
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, &Problem{Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time; send the request again."}
	case r.Context().Err() != nil:
		return nil, &clientGone
	}
	return nil, &Problem{Status: http.StatusBadRequest, Detail: "The body ended before it was complete; send the request again."}
}

// checkMedia accepts only application/json in UTF-8, not encoded. Types that end in +json are other formats (RFC 6839 section
// 3.1).
func checkMedia(w http.ResponseWriter, h http.Header) *Problem {
	if coding := h.Values("Content-Encoding"); len(coding) > 0 && !strings.EqualFold(coding[0], "identity") || len(coding) > 1 {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 15.5.16
		return &Problem{Status: http.StatusUnsupportedMediaType,
			Detail: "The body is compressed or encoded; send it without Content-Encoding."}
	}
	types := h.Values("Content-Type")
	media, params, err := mime.ParseMediaType(strings.Join(types, ","))
	charset, given := params["charset"]
	utf8 := !given || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8")
	if err == nil && len(types) == 1 && media == "application/json" && utf8 {
		return nil
	}
	w.Header().Set("Accept", "application/json") // RFC 9110 section 12.5.1
	return &Problem{Status: http.StatusUnsupportedMediaType,
		Detail: "Send the header Content-Type: application/json, once; the only charset is utf-8."}
}
