package harbour

import (
	"errors"
	"net/http"
	"regexp"
)

// invoice belongs to a company; all its members see it.
type invoice struct {
	ID        string        `json:"id"`
	Number    string        `json:"number"`
	CompanyID int64         `json:"company_id"`
	Period    string        `json:"period"`
	Total     int64         `json:"total_cents"`
	Status    string        `json:"status"`
	IssuedAt  string        `json:"issued_at"`
	Lines     []invoiceLine `json:"lines,omitempty"`
}

type invoiceLine struct {
	Text   string `json:"text"`
	Amount int64  `json:"amount_cents"`
}

const invoiceQuery = `SELECT id, number, company_id, period, total_cents, status, issued_at FROM invoices`

func scanInvoice(r scanner) (invoice, error) {
	var v invoice
	return v, r.Scan(&v.ID, &v.Number, &v.CompanyID, &v.Period, &v.Total, &v.Status, &v.IssuedAt)
}

func scanInvoiceLine(r scanner) (invoiceLine, error) {
	var l invoiceLine
	return l, r.Scan(&l.Text, &l.Amount)
}

func (s *Server) listInvoices(c *call) error {
	number, size, err := c.pageParams(maxPage)
	if err != nil {
		return err
	}
	company, err := c.intParam("company_id", c.who.Company, 1<<31-1)
	if err != nil {
		return err
	}
	// Admins may pick a company; with bola-invoice-query everybody may.
	if company != c.who.Company && c.who.Role != admin && !s.open("bola-invoice-query") {
		return forbidden()
	}
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM invoices WHERE company_id = ?`, company)
	if err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, scanInvoice, invoiceQuery+` WHERE company_id = ? ORDER BY number LIMIT ? OFFSET ?`, company, size, (number-1)*size)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, page[invoice]{items, number, size, total})
}

func (s *Server) invoiceByID(c *call) (invoice, error) {
	id, err := c.pathUUID("invoice_id")
	if err != nil {
		return invoice{}, err
	}
	v, err := one(c.ctx(), s.db, scanInvoice, invoiceQuery+` WHERE id = ?`, id)
	if errors.Is(err, errNoRow) {
		return v, notFound("invoice")
	}
	return v, err
}

func (s *Server) getInvoice(c *call) error {
	v, err := s.invoiceByID(c)
	if err != nil {
		return err
	}
	// With bola-invoice-uuid an id that is hard to guess is taken for a permission.
	if v.CompanyID != c.who.Company && c.who.Role != admin && !s.open("bola-invoice-uuid") {
		return notFound("invoice")
	}
	v.Lines, err = many(c.ctx(), s.db, scanInvoiceLine, `SELECT text, amount_cents FROM invoice_lines WHERE invoice_id = ? ORDER BY id LIMIT 200`, v.ID)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, v)
}

func (s *Server) payInvoice(c *call) error {
	v, err := s.invoiceByID(c)
	if err != nil {
		return err
	}
	if v.CompanyID != c.who.Company {
		return notFound("invoice")
	}
	var in cardInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	err = s.checkOwnCard(c, in.CardID)
	if err != nil {
		return err
	}
	n, err := exec(c.ctx(), s.db, `UPDATE invoices SET status = 'paid', card_id = ? WHERE id = ? AND status = 'open'`, in.CardID, v.ID)
	if err != nil {
		return err
	}
	if n == 0 {
		return conflict("invoice_paid", "The invoice is paid.")
	}
	v.Status = "paid"
	return c.send(http.StatusOK, v)
}

var reAppPath = regexp.MustCompile(`^/app(/[A-Za-z0-9_-]+)*$`)

// paymentReturn is where the bank's page sends the browser back to.
func (s *Server) paymentReturn(c *call) error {
	next := c.param("next")
	if !s.open("open-redirect") {
		// Fixed: only a path of our own app, so neither https:// nor // can leave it.
		var k checker
		k.match("next", next, reAppPath)
		if err := k.err(); err != nil {
			return err
		}
	}
	c.w.Header().Set("Location", next)
	c.w.WriteHeader(http.StatusFound)
	return nil
}
