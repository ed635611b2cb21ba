package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/sipeat/sipeat/shared/events"
)

// Cause is what may be said of a failed connection. Errors of libraries hold URLs (a webhook's is its secret) and what the
// other side said (which may be what it was sent), so only those are repeated that are known to hold neither; of any
// other, the type is named.
func Cause(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended // and not the closed connection that it led to
	}
	for _, known := range []error{context.DeadlineExceeded, context.Canceled, io.ErrUnexpectedEOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	if errors.Is(err, io.EOF) {
		return errors.New("the connection was closed by the other side")
	}
	if e, ok := errors.AsType[*net.OpError](err); ok { // of addresses and system calls; refusals of TLS too
		return e
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e
	}
	if e, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return errors.New(e.Msg)
	}
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return fmt.Errorf("a %T", err)
}

// Unreached reports whether err is that no connection was made: whoever should take the message has seen nothing of it.
func Unreached(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

func unavailable(cause error, format string, args ...any) error {
	return events.Wrap(events.Unavailable, cause, format, args...)
}
