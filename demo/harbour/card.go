package harbour

import (
	"errors"
	"net/http"
)

// card is what leaves of a payment card: enough to recognise it (PCI DSS 3.4.1).
type card struct {
	ID         string `json:"id"`
	CustomerID int64  `json:"customer_id"`
	Last4      string `json:"last4"`
	Holder     string `json:"holder"`
	Expiry     string `json:"expiry"`
	Brand      string `json:"brand"`

	Number string `json:"number,omitempty"` // only in the open branch of excess-card-pan
}

const cardQuery = `SELECT id, customer_id, number, holder, expiry, brand FROM cards`

func scanCard(r scanner) (card, error) {
	var c card
	err := r.Scan(&c.ID, &c.CustomerID, &c.Number, &c.Holder, &c.Expiry, &c.Brand)
	if len(c.Number) >= 4 {
		c.Last4 = c.Number[len(c.Number)-4:]
	}
	return c, err
}

func (s *Server) listCards(c *call) error {
	items, err := many(c.ctx(), s.db, scanCard, cardQuery+` WHERE customer_id = ? ORDER BY created_at, id LIMIT 100`, c.who.ID)
	if err != nil {
		return err
	}
	if !s.open("excess-card-pan") {
		// Open, the full number travels to every app that shows four digits of it.
		for i := range items {
			items[i].Number = ""
		}
	}
	return c.send(http.StatusOK, map[string]any{"items": items})
}

type newCardInput struct {
	Number string `json:"number"`
	Holder string `json:"holder"`
	Expiry string `json:"expiry"`
}

func (s *Server) createCard(c *call) error {
	var in newCardInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.match("/number", in.Number, rePAN)
	k.text("/holder", in.Holder, 1, 80)
	k.match("/expiry", in.Expiry, reExpiry)
	if !luhn(in.Number) {
		k.fault("/number", "the check digit is wrong")
	}
	if err := k.err(); err != nil {
		return err
	}
	out := card{ID: s.newUUID(), CustomerID: c.who.ID, Last4: in.Number[len(in.Number)-4:], Holder: in.Holder, Expiry: in.Expiry, Brand: brandOf(in.Number)}
	_, err = exec(c.ctx(), s.db, `INSERT INTO cards (id, customer_id, number, holder, expiry, brand, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		out.ID, out.CustomerID, in.Number, out.Holder, out.Expiry, out.Brand, stamp(s.now()))
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, out)
}

func brandOf(number string) string {
	switch number[0] {
	case '4':
		return "visa"
	case '5', '2':
		return "mastercard"
	}
	return "other"
}

// luhn checks the last digit (ISO/IEC 7812-1).
func luhn(number string) bool {
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 1 {
			d *= 2
			if d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func (s *Server) deleteCard(c *call) error {
	id, err := c.pathUUID("card_id")
	if err != nil {
		return err
	}
	var n int64
	if s.open("bola-card-delete") {
		// Whoever knows the id deletes the card.
		n, err = exec(c.ctx(), s.db, `DELETE FROM cards WHERE id = ?`, id)
	} else {
		n, err = exec(c.ctx(), s.db, `DELETE FROM cards WHERE id = ? AND customer_id = ?`, id, c.who.ID)
	}
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound("card")
	}
	return c.sendNothing()
}

// checkOwnCard refuses a card id in a body that is not one of the caller's cards.
func (s *Server) checkOwnCard(c *call, id string) error {
	var k checker
	k.uuid("/card_id", id)
	if err := k.err(); err != nil {
		return err
	}
	found, err := one(c.ctx(), s.db, scanCard, cardQuery+` WHERE id = ?`, id)
	if errors.Is(err, errNoRow) {
		return invalid("/card_id", "there is no such card")
	}
	if err != nil {
		return err
	}
	// With bola-pay-foreign-card, that the card exists is enough.
	if found.CustomerID != c.who.ID && !s.open("bola-pay-foreign-card") {
		return invalid("/card_id", "there is no such card")
	}
	return nil
}
