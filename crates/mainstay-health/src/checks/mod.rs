//! Checks that are ready to use and need no driver.
