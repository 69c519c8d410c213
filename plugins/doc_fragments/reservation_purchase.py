# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the three modules that buy reservations have in common."""

from __future__ import annotations


class ModuleDocFragment:
    """Options of all three."""

    DOCUMENTATION = r"""
notes:
  - What is bought can't be given back. The module buys only what is missing to O(count), only from AWS itself, on
    exactly the terms that were asked for, and only below O(price_limit) and O(max_count).
  - A purchase is written down in a bucket before it is sent, by a write that only one of several runs can win, and
    its outcome afterwards. Nothing is bought while the outcome of an earlier purchase is not known. A request to buy
    is never repeated.
  - When the answer to a purchase is lost, the account is read until it shows the purchase or O(wait_timeout) is over.
    Then the module fails; run again, it looks for that purchase first, and gives it up after an hour.
options:
  state:
    description:
      - V(present) buys what is missing.
      - V(settled) never buys. It finds out how a purchase ended whose outcome was not written down, because the run
        died or had no answer.
    type: str
    choices: [present, settled]
    default: present
  ledger_bucket:
    description:
      - The bucket in which purchases are written down, one for all who buy in the account and region. It must belong to
        the account; M(freehold.airflow.s3_private_bucket) makes one. When not given it is
        C(freehold-reservations-<account>-<region>).
    type: str
  environment:
    description:
      - Name of the environment for which is bought. Required with O(state=present).
    type: str
  type:
    description:
      - Instance type, instance class or node type. Required with O(state=present).
    type: str
  product:
    description:
      - Platform, or engine and licence, in AWS's words for a product description. Required with O(state=present).
    type: str
  count:
    description:
      - How many should be owned, active or not yet paid, beyond O(claimed). Required with O(state=present).
      - Counted are all reservations of this type, product, tenancy, zone and deployment, whatever their term and
        payment.
    type: int
  claimed:
    description:
      - How many of those that are owned are meant for others.
    type: int
    default: 0
  years:
    description:
      - The term. Required with O(state=present).
    type: int
    choices: [1, 3]
  payment:
    description:
      - How it is paid for. Required with O(state=present).
    type: str
    choices: [No Upfront, Partial Upfront, All Upfront]
  currency:
    description:
      - The currency that is expected. Offerings of ElastiCache say none.
    type: str
    default: USD
  price_limit:
    description:
      - What is bought may cost so much over its whole term, all together. Required with O(state=present).
    type: str
  max_count:
    description:
      - How many may be bought by one run.
    type: int
    default: 20
  offering_id:
    description:
      - The offering to buy. It must be on the terms of the other options.
    type: str
    default: ""
  tags:
    description:
      - Tags of what is bought.
    type: dict
    default: {}
  wait_timeout:
    description:
      - Seconds to wait for AWS to show what was bought, or for another run to end its purchase.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Says in RV(ignore:would_buy) what would be bought.
  diff_mode:
    support: full
    description: Shows how many are owned.
"""
