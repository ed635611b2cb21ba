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
	if r.ContentLength > maxBody {
		return nil, tooLarge(w)
	}
	body := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength, 0), 4<<10)+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody))
	var exceeded *http.MaxBytesError
	var timeout net.Error
	switch {
	case err == nil:
		return body.Bytes(), nil
	case errors.As(err, &exceeded):
		return nil, tooLarge(w)
	}
	w.Header().Set("Connection", "close") // the rest of the body would be read as the next request
	switch {                              // in this order: net/http cancels the request's context for either
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, &Problem{Status: http.StatusRequestTimeout, Detail: "The body did not arrive in time; send the request again."}
	case r.Context().Err() != nil:
		return nil, &clientGone
	}
	return nil, &Problem{Status: http.StatusBadRequest, Detail: "The body ended before it was complete; send the request again."}
}

// tooLarge closes the connection after the answer. net/http then reads up to 256 KiB of the rest, so that a client in the
// middle of sending sees the answer and not a reset; the deadline bounds that to a second.
func tooLarge(w http.ResponseWriter) *Problem {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second)) // without a connection there is nothing to bound
	return &Problem{Status: http.StatusRequestEntityTooLarge, Detail: "The body is larger than 64 KiB (65,536 bytes); send less."}
}

// checkMedia accepts only application/json in UTF-8, not encoded. Types that end in +json are other formats (RFC 6839 section
// 3.1).
func checkMedia(w http.ResponseWriter, h http.Header) *Problem {
	if coding := strings.Join(h["Content-Encoding"], ","); coding != "" && !strings.EqualFold(strings.TrimSpace(coding),
		"identity") {
		w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 15.5.16
		return &Problem{Status: http.StatusUnsupportedMediaType,
			Detail: "The body is compressed or encoded; send it without Content-Encoding."}
	}
	if types := h["Content-Type"]; len(types) == 1 && (types[0] == "application/json" || utf8JSON(types[0])) {
		return nil
	}
	w.Header().Set("Accept", "application/json") // RFC 9110 section 12.5.1
	return &Problem{Status: http.StatusUnsupportedMediaType,
		Detail: "Send the header Content-Type: application/json, once; the only charset is utf-8."}
}

func utf8JSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	return err == nil && media == "application/json" &&
		(!given || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8"))
}
