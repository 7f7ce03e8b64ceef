package harbour

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// adminView is what the office sees of an account.
type adminView struct {
	ID        int64  `json:"id"`
	Email     string `json:"email"`
	Name      string `json:"name"`
	Role      string `json:"role"`
	CompanyID int64  `json:"company_id"`
	Balance   int64  `json:"balance_cents"`
	Status    string `json:"status"`
}

func adminViewOf(a account) adminView {
	return adminView{a.ID, a.Email, a.Name, a.Role, a.CompanyID, a.Balance, a.Status}
}

// note writes to the audit log.
func (s *Server) note(c *call, action, target string) error {
	actor := c.who.Client
	if actor == "" {
		actor = fmt.Sprintf("user %d", c.who.ID)
	}
	_, err := exec(c.ctx(), s.db, `INSERT INTO audit (at, actor, action, target) VALUES (?, ?, ?, ?)`, stamp(s.now()), actor, action, target)
	if err != nil {
		return fmt.Errorf("writing the audit log: %w", err)
	}
	return nil
}

func (s *Server) adminUsers(c *call) error {
	number, size, err := c.pageParams(maxPage)
	if err != nil {
		return err
	}
	role := c.param("role")
	if role != "" {
		var k checker
		k.oneOf("role", role, anyone...)
		if err := k.err(); err != nil {
			return err
		}
	}
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM users WHERE ? = '' OR role = ?`, role, role)
	if err != nil {
		return err
	}
	all, err := many(c.ctx(), s.db, scanAccount, accountQuery+` WHERE ? = '' OR role = ? ORDER BY id LIMIT ? OFFSET ?`, role, role, size, (number-1)*size)
	if err != nil {
		return err
	}
	items := make([]adminView, len(all))
	for i, a := range all {
		items[i] = adminViewOf(a)
	}
	return c.send(http.StatusOK, page[adminView]{items, number, size, total})
}

func (s *Server) adminUser(c *call) error {
	id, err := c.pathInt("user_id")
	if err != nil {
		return err
	}
	a, err := s.accountByID(c.ctx(), id)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, adminViewOf(a))
}

type adminUserPatch struct {
	Role   *string `json:"role"`
	Status *string `json:"status"`
}

func (s *Server) adminPatchUser(c *call) error {
	id, err := c.pathInt("user_id")
	if err != nil {
		return err
	}
	var in adminUserPatch
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.some(in.Role != nil, in.Status != nil)
	if in.Role != nil {
		k.oneOf("/role", *in.Role, anyone...)
	}
	if in.Status != nil {
		k.oneOf("/status", *in.Status, "active", "suspended")
	}
	if err := k.err(); err != nil {
		return err
	}
	_, err = exec(c.ctx(), s.db, `UPDATE users SET role = coalesce(?, role), status = coalesce(?, status) WHERE id = ?`, in.Role, in.Status, id)
	if err == nil {
		err = s.note(c, "user.change", fmt.Sprintf("user %d", id))
	}
	if err == nil && in.Status != nil && *in.Status == "suspended" {
		err = s.endSessionsOf(c.ctx(), id)
	}
	if err != nil {
		return err
	}
	return s.adminUser(c)
}

type creditInput struct {
	Amount int64  `json:"amount_cents"`
	Reason string `json:"reason"`
}

// adminCredit pays a compensation into a customer's wallet.
func (s *Server) adminCredit(c *call) error {
	id, err := c.pathInt("user_id")
	if err != nil {
		return err
	}
	var in creditInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.number("/amount_cents", in.Amount, 1, 100_000)
	k.text("/reason", in.Reason, 1, 200)
	if err := k.err(); err != nil {
		return err
	}
	_, err = one(c.ctx(), s.db, scanInt, `UPDATE users SET balance_cents = balance_cents + ? WHERE id = ? AND role = ? RETURNING id`, in.Amount, id, customer)
	if errors.Is(err, errNoRow) {
		return notFound("customer")
	}
	if err == nil {
		err = s.note(c, "wallet.credit", fmt.Sprintf("user %d: %d", id, in.Amount))
	}
	if err != nil {
		return err
	}
	return s.adminUser(c)
}

type newCouponInput struct {
	Code   string `json:"code"`
	Amount int64  `json:"amount_cents"`
	Days   int64  `json:"valid_days"`
}

func (s *Server) adminCoupon(c *call) error {
	var in newCouponInput
	err := c.decode(&in)
	if err != nil {
		return err
	}
	var k checker
	k.match("/code", in.Code, reCoupon)
	k.number("/amount_cents", in.Amount, 1, 5_000)
	k.number("/valid_days", in.Days, 1, 365)
	if err := k.err(); err != nil {
		return err
	}
	until := stamp(s.now().Add(time.Duration(in.Days) * 24 * time.Hour))
	_, err = exec(c.ctx(), s.db, `INSERT INTO coupons (code, amount_cents, expires_at) VALUES (?, ?, ?)`, in.Code, in.Amount, until)
	if err != nil && strings.Contains(err.Error(), "UNIQUE") {
		return conflict("coupon_exists", "There is such a coupon.")
	}
	if err == nil {
		err = s.note(c, "coupon.create", in.Code)
	}
	if err != nil {
		return err
	}
	return c.send(http.StatusCreated, map[string]any{"code": in.Code, "amount_cents": in.Amount, "expires_at": until})
}

type assignmentInput struct {
	CourierID int64 `json:"courier_id"`
}

func (s *Server) adminAssign(c *call) error {
	p, err := s.ownParcel(c)
	if err != nil {
		return err
	}
	var in assignmentInput
	err = c.decode(&in)
	if err != nil {
		return err
	}
	a, err := s.accountByID(c.ctx(), in.CourierID)
	if err != nil || a.Role != courier {
		return invalid("/courier_id", "there is no such courier")
	}
	_, err = exec(c.ctx(), s.db, `UPDATE parcels SET courier_id = ? WHERE id = ?`, in.CourierID, p.ID)
	if err == nil {
		err = s.note(c, "parcel.assign", fmt.Sprintf("parcel %d to %d", p.ID, in.CourierID))
	}
	if err != nil {
		return err
	}
	p.CourierID = in.CourierID
	return c.send(http.StatusOK, p)
}

type auditEntry struct {
	ID     int64  `json:"id"`
	At     string `json:"at"`
	Actor  string `json:"actor"`
	Action string `json:"action"`
	Target string `json:"target"`
}

func (s *Server) adminAudit(c *call) error {
	number, size, err := c.pageParams(maxPage)
	if err != nil {
		return err
	}
	total, err := one(c.ctx(), s.db, scanInt, `SELECT count(*) FROM audit`)
	if err != nil {
		return err
	}
	items, err := many(c.ctx(), s.db, func(r scanner) (auditEntry, error) {
		var e auditEntry
		return e, r.Scan(&e.ID, &e.At, &e.Actor, &e.Action, &e.Target)
	}, `SELECT id, at, actor, action, target FROM audit ORDER BY id DESC LIMIT ? OFFSET ?`, size, (number-1)*size)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, page[auditEntry]{items, number, size, total})
}

func (s *Server) adminStats(c *call) error {
	type count struct {
		Status string `json:"status"`
		Count  int64  `json:"count"`
	}
	counts, err := many(c.ctx(), s.db, func(r scanner) (count, error) {
		var n count
		return n, r.Scan(&n.Status, &n.Count)
	}, `SELECT status, count(*) FROM parcels GROUP BY status ORDER BY status`)
	if err != nil {
		return err
	}
	return c.send(http.StatusOK, map[string]any{"parcels": counts})
}

func (s *Server) getHealth(c *call) error {
	return c.send(http.StatusOK, map[string]string{"status": "ok"})
}

// debugConfig exists only while debug-endpoint is open.
func (s *Server) debugConfig(c *call) error {
	return c.send(http.StatusOK, map[string]any{
		"database": s.dataSource(), "share_secret": string(s.shareSecret), "smtp_password": plantedSecret,
		"issuer": s.opts.Issuer, "webhook_allow": s.opts.WebhookAllow,
	})
}
