package harbour

import (
	"errors"
	"net/http"
)

type addressInput struct {
	Label    string `json:"label"`
	Line1    string `json:"line1"`
	Line2    string `json:"line2,omitempty"`
	City     string `json:"city"`
	Postcode string `json:"postcode"`
	Country  string `json:"country"`
}

type address struct {
	ID         int64 `json:"id"`
	CustomerID int64 `json:"customer_id"`
	addressInput
}

const addressQuery = `SELECT id, customer_id, label, line1, line2, city, postcode, country FROM addresses`

func scanAddress(r scanner) (address, error) {
	var a address
	return a, r.Scan(&a.ID, &a.CustomerID, &a.Label, &a.Line1, &a.Line2, &a.City, &a.Postcode, &a.Country)
}

func (in addressInput) check(k *checker) {
	k.text("/label", in.Label, 1, 40)
	k.text("/line1", in.Line1, 1, 120)
	k.text("/line2", in.Line2, 0, 120)
	k.text("/city", in.City, 1, 80)
	k.match("/postcode", in.Postcode, rePostcode)
	k.match("/country", in.Country, reCountry)
}

func (s *Server) listAddresses(c *call) error {
	number, size, err := c.pageParams(maxPage)
	if err != nil {
		return err
	}
	where, args := ` WHERE customer_id = ?`, []any{c.who.ID}
	if s.open("bola-address-list") {
		// The list is not narrowed to its owner; the app filters it on the phone.
		where, args = ``, nil
	}
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM addresses`+where, args...)
	if err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, scanAddress, addressQuery+where+` ORDER BY id LIMIT ? OFFSET ?`, append(args, size, (number-1)*size)...)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, page[address]{items, number, size, total})
}

func (s *Server) createAddress(c *call) error {
	var in addressInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	in.check(&k)
	if err := k.err(); err != nil {
		return err
	}
	id, err := insert(c.ctx(), s.db, `INSERT INTO addresses (customer_id, label, line1, line2, city, postcode, country) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		c.who.ID, in.Label, in.Line1, in.Line2, in.City, in.Postcode, in.Country)
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, address{id, c.who.ID, in})
}

func (s *Server) addressOf(c *call) (address, error) {
	id, err := c.pathInt("address_id")
	if err != nil {
		return address{}, err
	}
	a, err := one(c.ctx(), s.db, scanAddress, addressQuery+` WHERE id = ? AND customer_id = ?`, id, c.who.ID)
	if errors.Is(err, errNoRow) {
		return a, notFound("address")
	}
	return a, err
}

func (s *Server) getAddress(c *call) error {
	a, err := s.addressOf(c)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, a)
}

func (s *Server) putAddress(c *call) error {
	id, err := c.pathInt("address_id")
	if err != nil {
		return err
	}
	var in addressInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	in.check(&k)
	if err := k.err(); err != nil {
		return err
	}
	where, args := ` WHERE id = ? AND customer_id = ?`, []any{id, c.who.ID}
	if s.open("bola-address-write") {
		// Reading is guarded, writing was forgotten.
		where, args = ` WHERE id = ?`, []any{id}
	}
	a, err := one(c.ctx(), s.db, scanAddress, `UPDATE addresses SET label = ?, line1 = ?, line2 = ?, city = ?, postcode = ?, country = ?`+where+
		` RETURNING id, customer_id, label, line1, line2, city, postcode, country`,
		append([]any{in.Label, in.Line1, in.Line2, in.City, in.Postcode, in.Country}, args...)...)
	if errors.Is(err, errNoRow) {
		return notFound("address")
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, a)
}

func (s *Server) deleteAddress(c *call) error {
	a, err := s.addressOf(c)
	if err != nil {
		return err
	}
	_, err = exec(c.ctx(), s.db, `DELETE FROM addresses WHERE id = ?`, a.ID)
	if err != nil {
		return err
	}
	return c.sendNothing()
}
