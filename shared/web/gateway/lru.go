package gateway

import (
	"container/list"
	"sync"
)

// lru is a map of bounded size: what was used longest ago makes room.
type lru[K comparable, V any] struct {
	mu    sync.Mutex
	max   int
	items map[K]*list.Element // of *item[K, V]
	order list.List           // the latest first
}

type item[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](size int) *lru[K, V] {
	return &lru[K, V]{max: size, items: map[K]*list.Element{}}
}

func (l *lru[K, V]) get(key K) (V, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.items[key]
	if !ok {
		var none V
		return none, false
	}
	l.order.MoveToFront(e)
	return e.Value.(*item[K, V]).value, true
}

func (l *lru[K, V]) put(key K, value V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*l.slot(key) = value
}

// slot is where key's value is, zero if it is new; under the lock.
func (l *lru[K, V]) slot(key K) *V {
	if e, ok := l.items[key]; ok {
		l.order.MoveToFront(e)
		return &e.Value.(*item[K, V]).value
	}
	if len(l.items) >= l.max {
		l.drop(l.order.Back())
	}
	it := &item[K, V]{key: key}
	l.items[key] = l.order.PushFront(it)
	return &it.value
}

// oldest is what was used longest ago, nil if there is nothing; under the lock.
func (l *lru[K, V]) oldest() (*list.Element, *V) {
	e := l.order.Back()
	if e == nil {
		return nil, nil
	}
	return e, &e.Value.(*item[K, V]).value
}

func (l *lru[K, V]) drop(e *list.Element) {
	delete(l.items, e.Value.(*item[K, V]).key)
	l.order.Remove(e)
}
