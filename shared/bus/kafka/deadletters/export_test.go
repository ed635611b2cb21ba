package deadletters

import "time"

// SetTransactionTimeout bounds the transactions of this client.
func (c *Client) SetTransactionTimeout(d time.Duration) { c.timeout = d }

// TokenOf makes a token of a preview of so many rejections.
func TokenOf(count int) (string, error) {
	return (&token{Count: count, Eligible: make([]byte, (count+7)/8)}).String()
}
