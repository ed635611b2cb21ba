package dynamodb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/sipeat/sipeat/shared/events"
)

// fault is what a failure of a request means: always Unavailable, because nothing that a caller gave can cause one.
func (s *Store) fault(ctx context.Context, err error) error {
	var known *events.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return ended(ctx.Err())
	case s.ctx.Err() != nil:
		return closedError()
	}
	return events.Wrap(events.Unavailable, err, "the read model, table %q %s, %s", s.table, s.place, reason(err))
}

func reason(err error) string {
	code := codeOf(err)
	var unknown *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	var garbled *smithy.DeserializationError
	var network net.Error
	var dns *net.DNSError
	switch {
	case code == "ResourceNotFoundException":
		return "is not there: template.yaml creates it on AWS, `sipeat api` or `sipeat worker` elsewhere; or set TABLE_NAME, AWS_REGION or DYNAMODB_ENDPOINT to where it is"
	case code == "AccessDeniedException":
		return "may not be used with these credentials: AWS says in the log which right is missing"
	case slices.Contains([]string{"ExpiredTokenException", "ExpiredToken", "RequestExpired"}, code):
		return "refuses credentials that have expired (or this machine's clock is wrong)"
	case slices.Contains([]string{"UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException", "IncompleteSignatureException",
		"MissingAuthenticationTokenException", "MissingAuthenticationToken", "OptInRequired", "NotAuthorized"}, code):
		return "refuses these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and the region"
	case throttled(err):
		return "is throttled: it has more to do than its partitions or its limit allow"
	case len(reasons(err)) > 0:
		return "is written by too many at once (" + strings.Join(slices.Compact(reasons(err)), ", ") + ")"
	case code == "ValidationException":
		return "refuses a request that a read model takes: it may be another program's table, or lack an index (CheckTable tells)"
	case code == "UnknownError", errors.As(err, &garbled): // the SDK's own name where an answer has none
		return "is asked of what does not answer as DynamoDB does: DYNAMODB_ENDPOINT may be another server's address, or something between answers for it"
	case code != "":
		return "failed (" + code + ")"
	case errors.As(err, &unknown), errors.As(err, &authority), errors.As(err, &record):
		return "cannot be reached safely: TLS fails"
	case strings.Contains(err.Error(), "get credentials"): // the SDK has no type for it
		return "cannot be asked without credentials"
	case errors.As(err, &dns):
		return "cannot be reached: there is no host of that name"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "does not answer in time"
	case errors.As(err, &network):
		return "cannot be reached"
	}
	return "failed"
}

// codeOf is DynamoDB's name of an error; "" if it did not answer.
func codeOf(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}
