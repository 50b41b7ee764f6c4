//! A machine made of vectors: frames, page tables, CPUs that do nothing by themselves.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use kernel_core::machine::{
    CpuId, Frame, FrameSource, Machine, MsiMessage, OutOfFrames, Page, Perms, PowerAction, Root,
};
use valence_abi::PAGE_SIZE;

/// Length of the floating-point state.
pub const FPU_LEN: usize = 64;

pub struct FakeMachine {
    frames: HashMap<u64, Box<[u8; PAGE_SIZE]>>,
    spaces: HashMap<u64, BTreeMap<u64, (Frame, Perms)>>,
    pub cpus: usize,
    pub now: u64,
    pub serial: [Vec<u8>; 2],
    pub input: [VecDeque<u8>; 2],
    pub kicks: HashSet<CpuId>,
    pub active: Option<Root>,
    pub flushes: usize,
    pub live_fpu: [u8; FPU_LEN],
}

impl FakeMachine {
    pub fn new(cpus: usize, ram: (u64, u64)) -> Self {
        let first = ram.0 / PAGE_SIZE as u64;
        let frames = (first..first + ram.1 / PAGE_SIZE as u64)
            .map(|frame| (frame, Box::new([0xAA; PAGE_SIZE])))
            .collect();
        Self {
            frames,
            spaces: HashMap::new(),
            cpus,
            now: 1,
            serial: [Vec::new(), Vec::new()],
            input: [VecDeque::new(), VecDeque::new()],
            kicks: HashSet::new(),
            active: None,
            flushes: 0,
            live_fpu: [0; FPU_LEN],
        }
    }

    pub fn spaces(&self) -> usize {
        self.spaces.len()
    }
}

impl Machine for FakeMachine {
    type Fpu = [u8; FPU_LEN];

    fn frame(&self, frame: Frame) -> &[u8; PAGE_SIZE] {
        self.frames.get(&frame.0).expect("frame is RAM")
    }
    fn frame_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_SIZE] {
        self.frames.get_mut(&frame.0).expect("frame is RAM")
    }
    fn frame_copy(&mut self, from: Frame, to: Frame) {
        let bytes = *self.frame(from);
        *self.frame_mut(to) = bytes;
    }
    fn space_create(&mut self, frames: &mut dyn FrameSource) -> Result<Root, OutOfFrames> {
        let frame = frames.take().ok_or(OutOfFrames)?;
        self.spaces.insert(frame.0, BTreeMap::new());
        Ok(Root(frame))
    }
    fn space_destroy(&mut self, root: Root, frames: &mut dyn FrameSource) {
        assert_ne!(self.active, Some(root), "destroyed while active");
        self.spaces.remove(&root.0.0).expect("space exists");
        frames.give(root.0);
    }
    fn map(
        &mut self,
        root: Root,
        page: Page,
        frame: Frame,
        perms: Perms,
        _frames: &mut dyn FrameSource,
    ) -> Result<(), OutOfFrames> {
        assert!(!(perms.write && perms.execute), "writable and executable");
        assert!(page.0 < 1 << 35, "not a user page");
        self.spaces
            .get_mut(&root.0.0)
            .expect("space exists")
            .insert(page.0, (frame, perms));
        Ok(())
    }
    fn unmap(&mut self, root: Root, page: Page) -> Option<(Frame, Perms)> {
        self.spaces
            .get_mut(&root.0.0)
            .expect("space exists")
            .remove(&page.0)
    }
    fn lookup(&self, root: Root, page: Page) -> Option<(Frame, Perms)> {
        self.spaces
            .get(&root.0.0)
            .expect("space exists")
            .get(&page.0)
            .copied()
    }
    fn next_mapped(&self, root: Root, from: Page, end: Page) -> Option<Page> {
        if from.0 >= end.0 {
            return None;
        }
        let space = self.spaces.get(&root.0.0).expect("space exists");
        space
            .range(from.0..end.0)
            .next()
            .map(|(page, _)| Page(*page))
    }
    fn flush(&mut self, _root: Root) {
        self.flushes += 1;
    }
    fn activate(&mut self, root: Option<Root>) {
        if let Some(root) = root {
            assert!(
                self.spaces.contains_key(&root.0.0),
                "activated after its end"
            );
        }
        self.active = root;
    }
    fn set_fs_base(&mut self, _addr: u64) {}
    fn fpu_new(&self) -> Box<Self::Fpu> {
        Box::new([0; FPU_LEN])
    }
    fn fpu_save(&mut self, into: &mut Self::Fpu) {
        *into = self.live_fpu;
    }
    fn fpu_load(&mut self, from: &Self::Fpu) {
        self.live_fpu = *from;
    }
    fn fpu_bytes<'a>(&self, fpu: &'a Self::Fpu) -> &'a [u8] {
        fpu
    }
    fn fpu_set_bytes(&self, fpu: &mut Self::Fpu, bytes: &[u8]) {
        fpu.copy_from_slice(bytes);
    }
    fn set_timer(&mut self, deadline_ns: Option<u64>) {
        let _ = deadline_ns;
    }
    fn cpu_count(&self) -> usize {
        self.cpus
    }
    fn kick(&mut self, cpu: CpuId) {
        self.kicks.insert(cpu);
    }
    fn now_ns(&self) -> u64 {
        self.now
    }
    fn boot_time_ns(&self) -> u64 {
        1_000_000_000_000
    }
    fn random(&mut self) -> Option<u64> {
        None
    }
    fn cpu_description(&self, cpu: CpuId) -> String {
        format!("fake {cpu}")
    }
    fn serial_write(&mut self, port: usize, bytes: &[u8]) {
        self.serial[port].extend(bytes);
    }
    fn serial_read(&mut self, port: usize) -> Option<u8> {
        self.input[port].pop_front()
    }
    fn msi_allocate(&mut self) -> Option<(usize, MsiMessage)> {
        Some((
            3,
            MsiMessage {
                address: 0xFEE0_0000,
                data: 0x43,
            },
        ))
    }
    fn msi_free(&mut self, _number: usize) {}
    fn is_physical(&self, base: u64, len: u64) -> bool {
        base + len <= 1 << 40
    }
    fn power(&mut self, action: PowerAction) -> ! {
        panic!("power: {action:?}")
    }
}
