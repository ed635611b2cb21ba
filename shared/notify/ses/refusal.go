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

// explain gives an error of SES its kind. What can be answered to SendEmail:
// https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors and, for texts,
// https://docs.aws.amazon.com/ses/latest/dg/troubleshoot-error-messages.html. Texts hold addresses: they are read, and
// never repeated.
func explain(ctx context.Context, err error, named bool) error {
	if notify.Unreached(err) {
		return events.Wrap(events.Unavailable, notify.Cause(ctx, err), "no connection to SES")
	}
	refusal, ok := errors.AsType[smithy.APIError](err)
	if !ok || ctx.Err() != nil {
		return events.Wrap(events.Unavailable, notify.Cause(ctx, err), "SES did not answer; it may have taken the mail, which is sent again")
	}
	what := "SES answered " + code(refusal.ErrorCode())
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		what += fmt.Sprintf(" (status %d, request %s)", response.HTTPStatusCode(), code(response.ServiceRequestID()))
		if response.HTTPStatusCode() >= http.StatusInternalServerError {
			return events.Errorf(events.Unavailable, "%s: it has an outage", what)
		}
	}
	kind, remedy := verdict(refusal, named)
	return events.Errorf(kind, "%s: %s", what, remedy)
}

func verdict(refusal smithy.APIError, named bool) (events.Kind, string) {
	text := strings.ToLower(refusal.ErrorMessage())
	switch refusal.ErrorCode() {
	case "MessageRejected":
		// The sender is not verified or, in the sandbox, the recipient: no fault of the message's
		// (https://repost.aws/knowledge-center/ses-554-400-message-rejected-error).
		if strings.Contains(text, "not verified") {
			return events.Unavailable, "verify NOTIFY_FROM in this region, and ask for the account to leave the sandbox"
		}
		return events.Invalid, "it does not take this content"
	case "BadRequestException", "InvalidParameterValue":
		if aboutAddress(text) && named {
			return events.Invalid, "it does not take the recipient's address"
		}
		if aboutAddress(text) {
			return events.Unavailable, "it does not take an address of NOTIFY_TO or NOTIFY_FROM"
		}
		return events.Unknown, "nothing says whether it is for this mail"
	default:
		// AccountSuspendedException, SendingPausedException, MailFromDomainNotVerifiedException, LimitExceededException,
		// TooManyRequestsException, NotFoundException (a configuration set), Throttling and ThrottlingException (rate or
		// daily quota), AccessDeniedException, expired and wrong keys: none of them is about one mail.
		return events.Unavailable, "this account cannot send now"
	}
}

// aboutAddress knows the texts of SES about addresses, such as "Missing final '@domain'", "Domain contains illegal
// character" and "Local address contains control or whitespace". The sender's was checked before, and is not one of them.
func aboutAddress(text string) bool {
	for _, known := range []string{"missing final '@domain'", "missing domain", "domain contains", "domain starts with", "domain ends with",
		"local address contains", "local address starts with", "local address ends with", "illegal address", "invalid email address", "address length"} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

// code is a word of AWS's, in case what answers is not AWS.
func code(word string) string {
	word, _, _ = strings.Cut(word, ":")
	if word == "" || len(word) > 64 || strings.ContainsFunc(word, func(r rune) bool {
		return r != '-' && r != '.' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "an error"
	}
	return word
}
