package deadletters

import "time"

// SetTransactionTimeout bounds the transactions of this client.
func (c *Client) SetTransactionTimeout(d time.Duration) { c.timeout = d }
