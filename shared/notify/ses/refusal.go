package ses

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/notify"
)

// explain gives an error of SES its kind. The errors of SendEmail:
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors and, for texts,
// https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html. Texts contain addresses: they are read and never
// repeated. SES queues for recipients that are refused for now, so no error is about one recipient's server.
func explain(ctx context.Context, err error, named bool) error {
	if notify.Unreached(err) {
		return events.Wrap(events.Unavailable, notify.Cause(ctx, err), "no connection to SES")
	}
	refusal, ok := errors.AsType[smithy.APIError](err)
	if !ok || ctx.Err() != nil {
		return events.Wrap(events.Unavailable, notify.Cause(ctx, err),
			"SES did not answer; it may have accepted the mail, which is sent again")
	}
	what := "SES answered " + code(refusal.ErrorCode())
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		what += fmt.Sprintf(" (status %d, request %s)", response.HTTPStatusCode(), code(response.ServiceRequestID()))
		if response.HTTPStatusCode() >= http.StatusInternalServerError {
			return events.Errorf(events.Unavailable, "%s: an outage", what)
		}
	}
	kind, remedy := classify(refusal, named)
	return events.Errorf(kind, "%s: %s", what, remedy)
}

func classify(refusal smithy.APIError, named bool) (events.Kind, string) {
	text := strings.ToLower(refusal.ErrorMessage())
	switch refusal.ErrorCode() {
	case "MessageRejected":
		// The sender or, in the sandbox, the recipient is not verified: not the message's fault
		// (https://repost.aws/knowledge-center/ses-554-400-message-rejected-error).
		if strings.Contains(text, "not verified") {
			return events.Unavailable, "verify NOTIFY_FROM in this region, and move the account out of the sandbox"
		}
		return events.Invalid, "it refuses this content"
	case "BadRequestException", "InvalidParameterValue":
		switch {
		case !aboutAddress(text):
			return events.Unknown, "it does not say whether this mail is at fault"
		case named:
			return events.Invalid, "it refuses the recipient's address"
		default:
			return events.Unavailable, "it refuses an address of NOTIFY_TO or NOTIFY_FROM"
		}
	default:
		// AccountSuspendedException, SendingPausedException, MailFromDomainNotVerifiedException, LimitExceededException,
		// TooManyRequestsException, NotFoundException (a configuration set), Throttling and ThrottlingException (rate or
		// daily quota), AccessDeniedException, expired and wrong keys: none concerns one mail.
		return events.Unavailable, "this account cannot send now"
	}
}

// aboutAddress matches the texts of SES about addresses. The sender's was checked at the start.
func aboutAddress(text string) bool {
	for _, known := range []string{"missing final '@domain'", "missing domain", "domain contains", "domain starts with",
		"domain ends with",
		"local address contains", "local address starts with", "local address ends with", "illegal address", "invalid email address",
		"address length"} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

// code repeats a word of AWS; what is none comes from something else.
func code(word string) string {
	word, _, _ = strings.Cut(word, ":")
	if word == "" || len(word) > 64 || strings.ContainsFunc(word, func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "an error"
	}
	return word
}
