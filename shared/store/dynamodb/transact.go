package dynamodb

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// transact keeps a batch, in one transaction if DynamoDB takes it as one, and answers each of it. Items that are there
// already cancel the transaction; they are answered, and the others tried again without them. A try whose answer was lost
// does no harm: the next finds the items, with the same digests, and their drinks counted.
func (s *Store) transact(batch []*op) {
	for start, try := time.Now(), 0; ; {
		if batch = waiting(batch); len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(s.ctx, attempt)
		_, err := s.client.TransactWriteItems(ctx, transaction(s.table, batch))
		cancel()
		settled := settle(batch, err)
		switch {
		case err == nil:
			for _, o := range batch {
				o.answer(nil)
			}
			return
		case settled && !crowded(err):
			continue
		case refused(err) && len(batch) > 1: // one of them is to blame: each alone
			for _, o := range batch {
				s.transact([]*op{o})
			}
			return
		case s.ctx.Err() != nil, !passing(err), time.Since(start) > patience:
			for _, o := range batch {
				o.answer(s.refusal(o, err))
			}
			return
		}
		_ = sleep(s.ctx, backoff(try))
		try++
	}
}

// waiting are those of a batch whose callers wait still.
func waiting(batch []*op) []*op {
	var out []*op
	for _, o := range batch {
		if o.ctx.Err() != nil {
			o.answer(ended(o.ctx.Err()))
		}
		if !o.answered {
			out = append(out, o)
		}
	}
	return out
}

// transaction puts the items, in the order of the batch, and then changes each counter once.
func transaction(table string, batch []*op) *dynamodb.TransactWriteItemsInput {
	in := &dynamodb.TransactWriteItemsInput{}
	for _, o := range batch {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{
			TableName: &table, Item: o.row.in(o.generation),
			ConditionExpression:                 aws.String("attribute_not_exists(pk)"),
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}})
	}
	index := map[string]*types.Update{}
	counts := map[string]int64{}
	for _, o := range batch {
		for n, w := range o.row.wishes {
			k := o.keys[n+1]
			counts[k]++
			if index[k] == nil {
				index[k] = counter(table, o.generation, w)
				in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Update: index[k]})
			}
			index[k].ExpressionAttributeValues[":n"] = number(counts[k])
		}
	}
	return in
}

// counter changes the row of a wish, which shows the spelling that came first.
func counter(table string, generation int, w store.Wish) *types.Update {
	return &types.Update{
		TableName: &table, Key: keyOf(demandKey(generation), counterKey(w.DemandKey)),
		UpdateExpression: aws.String("SET shownCountry = if_not_exists(shownCountry, :country), shownCity = if_not_exists(shownCity, :city), " +
			"shownDrink = if_not_exists(shownDrink, :drink), place = :place, #at = :at ADD asked :n"),
		ExpressionAttributeNames: map[string]string{"#at": at},
		ExpressionAttributeValues: key{
			":country": text(w.Shown.Country), ":city": text(w.Shown.City), ":drink": text(w.Shown.Drink),
			":place": text(join(generation, w.City)), ":at": data(ordered(w.Country, w.Drink)),
		},
	}
}

// settle answers those whose item is there already: a repeat, or a conflict. It reports whether there were any.
func settle(batch []*op, err error) (any bool) {
	var canceled *types.TransactionCanceledException
	if !errors.As(err, &canceled) {
		return false
	}
	for i, reason := range canceled.CancellationReasons {
		if i < len(batch) && aws.ToString(reason.Code) == conditionFailed && len(reason.Item) > 0 {
			batch[i].answer(batch[i].compare(dataOf(reason.Item["digest"])))
			any = true
		}
	}
	return any
}

const conditionFailed = "ConditionalCheckFailed"

// reasons are the codes for which a transaction was cancelled.
func reasons(err error) (codes []string) {
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		for _, reason := range canceled.CancellationReasons {
			if code := aws.ToString(reason.Code); code != "" && code != "None" {
				codes = append(codes, code)
			}
		}
	}
	return codes
}

// crowded reports whether a transaction was cancelled for others, or for its cost: to be tried again, but not at once.
func crowded(err error) bool {
	for _, code := range reasons(err) {
		if code != conditionFailed {
			return true
		}
	}
	return false
}

// refused reports whether DynamoDB found something in the request that it does not take.
func refused(err error) bool {
	for _, code := range reasons(err) {
		if code == "ValidationError" {
			return true
		}
	}
	return codeOf(err) == "ValidationException"
}

// refusal is what a failure means to an item that was sent alone, or for none of the batch's own doing. The item is to blame only
// if DynamoDB says that it is too large, which store.Item.Check lets none be.
func (s *Store) refusal(o *op, err error) error {
	if refused(err) && strings.Contains(err.Error()+cancellation(err), "Item size has exceeded") {
		return events.Wrap(events.Invalid, err, "%s %q is larger than DynamoDB keeps", o.row.item.Type, events.LogID(o.row.item.ID))
	}
	return s.fault(o.ctx, err)
}

func cancellation(err error) string {
	var b strings.Builder
	var canceled *types.TransactionCanceledException
	if errors.As(err, &canceled) {
		for _, reason := range canceled.CancellationReasons {
			b.WriteString(" " + aws.ToString(reason.Message))
		}
	}
	return b.String()
}
