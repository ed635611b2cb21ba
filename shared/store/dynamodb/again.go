package dynamodb

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

const (
	attempt  = 8 * time.Second // of one request; DynamoDB takes milliseconds
	patience = 5 * time.Second // after it, what passes is an outage: whoever delivers events tries again for longer
)

// again tries until it works, fails for a reason that does not pass, or patience ends.
func again(ctx context.Context, do func(context.Context) error) error {
	for start, try := time.Now(), 0; ; try++ {
		one, cancel := context.WithTimeout(ctx, attempt)
		err := do(one)
		cancel()
		if err == nil || ctx.Err() != nil || !passing(err) || time.Since(start) > patience {
			return err
		}
		if sleep(ctx, backoff(try)) != nil {
			return err
		}
	}
}

// backoff doubles from 10 ms to 320, and is anywhere between nothing and that (full jitter): whoever met at a counter should not meet again.
func backoff(try int) time.Duration { return rand.N(10 * time.Millisecond << min(try, 5)) }

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	throttles = retry.ThrottleErrorCode{Codes: retry.DefaultThrottleErrorCodes}
	transient = retry.IsErrorRetryables(retry.DefaultRetryables)
)

// The codes of cancelled transactions that pass, and the one of a single write that met a transaction
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html, CancellationReasons).
var (
	conflicts       = []string{"TransactionConflict", "TransactionConflictException", "TransactionInProgressException"}
	cancelThrottles = []string{"ProvisionedThroughputExceeded", "ThrottlingError"}
)

// passing reports whether the same request may succeed in a moment.
func passing(err error) bool {
	if slices.ContainsFunc(reasons(err), func(code string) bool {
		return slices.Contains(conflicts, code) || slices.Contains(cancelThrottles, code)
	}) {
		return true
	}
	return slices.Contains(conflicts, codeOf(err)) || throttled(err) || errors.Is(err, context.DeadlineExceeded) ||
		transient.IsErrorRetryable(err) == aws.TrueTernary
}

// throttled reports whether DynamoDB has enough to do
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html).
func throttled(err error) bool {
	return throttles.IsErrorThrottle(err) == aws.TrueTernary ||
		slices.ContainsFunc(reasons(err), func(code string) bool { return slices.Contains(cancelThrottles, code) })
}
